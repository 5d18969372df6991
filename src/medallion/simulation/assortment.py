"""The assortment of the simulated retailer: departments, categories, and words for names."""

from __future__ import annotations

# Department: share of the assortment, share of demand per product, and its categories, each with
# the lowest and highest list price in US cents and the nouns of its products.
DEPARTMENTS: dict[str, tuple[int, float, dict[str, tuple[int, int, str]]]] = {
    "grocery": (
        600,
        3.0,
        {
            "dairy": (79, 899, "Milk,Yoghurt,Butter,Cheddar,Cream"),
            "bakery": (99, 749, "Bread,Bagels,Croissants,Muffins,Rolls"),
            "pantry": (69, 1_299, "Pasta,Rice,Olive Oil,Tomatoes,Beans,Flour"),
            "snacks": (99, 699, "Crisps,Nuts,Chocolate,Biscuits,Popcorn"),
            "beverages": (89, 2_499, "Coffee,Tea,Juice,Cola,Water,Wine"),
            "frozen": (199, 1_499, "Pizza,Peas,Ice Cream,Fish Fingers,Berries"),
        },
    ),
    "fresh": (
        200,
        3.5,
        {
            "produce": (49, 799, "Apples,Bananas,Tomatoes,Salad,Carrots,Avocados"),
            "meat and fish": (299, 3_499, "Chicken,Beef,Salmon,Ham,Prawns"),
        },
    ),
    "household": (
        220,
        1.6,
        {
            "cleaning": (149, 1_999, "Detergent,Sponges,Bleach,Softener"),
            "paper goods": (199, 2_499, "Tissues,Kitchen Rolls,Toilet Rolls,Napkins"),
        },
    ),
    "health and beauty": (
        240,
        1.1,
        {
            "personal care": (199, 2_999, "Shampoo,Soap,Toothpaste,Deodorant"),
            "cosmetics": (399, 7_999, "Lipstick,Mascara,Serum,Foundation"),
        },
    ),
    "clothing": (
        240,
        0.7,
        {
            "apparel": (999, 19_999, "T-Shirt,Jeans,Jacket,Dress,Sweater"),
            "footwear": (1_999, 24_999, "Trainers,Boots,Sandals,Slippers"),
        },
    ),
    "home": (
        180,
        0.6,
        {
            "kitchen": (499, 39_999, "Pan,Knife,Kettle,Blender,Plates"),
            "furniture": (2_999, 99_999, "Chair,Lamp,Shelf,Desk"),
        },
    ),
    "electronics": (
        160,
        0.5,
        {
            "audio": (1_999, 59_999, "Headphones,Speaker,Soundbar"),
            "computing": (999, 179_999, "Laptop,Mouse,Monitor,Tablet,Keyboard"),
        },
    ),
    "leisure": (
        160,
        0.7,
        {
            "toys": (499, 12_999, "Puzzle,Blocks,Board Game,Doll,Kite"),
            "sports": (799, 49_999, "Football,Racket,Yoga Mat,Dumbbell"),
            "books": (599, 4_999, "Novel,Atlas,Cookbook,Biography"),
        },
    ),
}

WEIGHED = ("produce", "meat and fish")
"""The categories that are sold by weight; their prices are per kilogram."""

BRANDS = (
    "Northfield",
    "Casa Verde",
    "Oakridge",
    "Lumen",
    "Harbor & Co",
    "Brightwell",
    "Kestrel",
    "Maison Bleue",
    "Tindra",
    "Solara",
    "Everyday",
    "Redwood",
    "Aurora",
    "Pico",
    "Hinode",
)

VARIANTS = ("Classic", "Value", "Organic", "Large", "Family", "Premium", "Light", "Mini", "Duo")
