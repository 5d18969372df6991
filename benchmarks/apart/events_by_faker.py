"""Write random purchases as NDJSON with Faker, a line at a time.

python events_by_faker.py COUNT FILE
"""

from __future__ import annotations

import json
import sys
from datetime import UTC

from faker import Faker

CATEGORIES = ("dairy", "bakery", "produce", "toys", "books", "audio")


def main() -> None:
    """Write the file."""
    count, path = int(sys.argv[1]), sys.argv[2]
    Faker.seed(7)
    fake = Faker(use_weighting=False)
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
        for _ in range(count):
            price, quantity = fake.random_int(50, 9_999) / 100, fake.random_int(1, 5)
            total = round(price * quantity, 2)
            event = {
                "event_id": fake.uuid4(),
                "event_type": "purchase",
                "ts": fake.date_time_between("-15d", "now", UTC).isoformat(timespec="milliseconds"),
                "store_id": fake.numerify("S###"),
                "product_id": fake.numerify("P#####"),
                "customer_id": fake.numerify("C########"),
                "basket_id": fake.uuid4(),
                "category": fake.random_element(CATEGORIES),
                "payment_method": fake.random_element(("card", "cash", "mobile")),
                "channel": fake.random_element(("store", "web")),
                "currency": fake.random_element(("USD", "EUR", "GBP")),
                "price": price,
                "quantity": quantity,
                "discount_amount": 0.0,
                "tax_amount": round(total * 0.2, 2),
                "total_amount": total,
                "schema_version": 2,
            }
            file.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    main()
