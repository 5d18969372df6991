with

sales_lines as (

    select * from {{ ref('fct_sales_line') }}

)

select
    basket_id,
    store_id,
    sales_date,
    currency,
    min(utc_date) as utc_date,
    min(ts) as started_at,
    min(customer_id) as customer_id,
    min(channel) as channel,
    min(payment_method) as payment_method,
    cast(count(*) as bigint) as lines,
    cast(count(distinct product_id) as bigint) as products,
    cast(sum(units_sold) as decimal(38,5)) as units_sold,
    cast(sum(gross_sales) as decimal(38,4)) as gross_sales,
    cast(sum(discounts) as decimal(38,4)) as discounts,
    cast(sum(gross_sales) - sum(discounts) as decimal(38,4)) as basket_value,
    cast(sum(tax) as decimal(38,4)) as tax,
    cast(sum(reporting_gross_sales) - sum(reporting_discounts) as decimal(38,4))
        as reporting_basket_value,
    cast(max(load_seq) as bigint) as load_seq
from sales_lines
where not is_return
group by basket_id, store_id, sales_date, currency
