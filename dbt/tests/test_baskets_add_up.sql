-- Currencies where the baskets' value is not gross sales - discounts of the lines.
with baskets as (

    select currency, sum(basket_value) as basket_value
    from {{ ref('fct_basket') }}
    group by currency

),

lines as (

    select currency, sum(gross_sales) - sum(discounts) as basket_value
    from {{ ref('fct_sales_line') }}
    where not is_return
    group by currency

)

select coalesce(lines.currency, baskets.currency) as currency, lines.basket_value, baskets.basket_value as baskets
from lines
full outer join baskets on lines.currency = baskets.currency
where lines.currency is null or baskets.currency is null or lines.basket_value <> baskets.basket_value
