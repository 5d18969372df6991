-- Currencies in which the value of all baskets is not gross sales - discounts of the purchases.
with

baskets as (

    select * from {{ ref('fct_basket') }}

),

sales_lines as (

    select * from {{ ref('fct_sales_line') }}

),

of_baskets as (

    select currency, sum(basket_value) as basket_value
    from baskets
    group by currency

),

of_lines as (

    select currency, sum(gross_sales) - sum(discounts) as basket_value
    from sales_lines
    where not is_return
    group by currency

)

select
    coalesce(of_lines.currency, of_baskets.currency) as currency,
    of_lines.basket_value as value_of_lines,
    of_baskets.basket_value as value_of_baskets
from of_lines
full outer join of_baskets on of_lines.currency = of_baskets.currency
where of_lines.currency is null
    or of_baskets.currency is null
    or of_lines.basket_value <> of_baskets.basket_value
