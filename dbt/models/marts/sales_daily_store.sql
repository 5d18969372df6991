with

hours as (

    select * from {{ ref('sales_hourly') }}

)

select
    sales_date,
    store_id,
    currency,
    cast(sum(transactions) as bigint) as transactions,
    {{ sums_of_sums() }},
    {{ divide('sum(gross_sales) - sum(discounts)', 'sum(transactions)') }} as average_order_value,
    {{ divide('sum(units_sold)', 'sum(transactions)') }} as units_per_transaction,
    {{ divide('sum(gross_sales) - sum(discounts)', 'sum(units_sold)') }} as average_unit_retail,
    cast(sum(costed_net_sales) - sum(cost_of_sales) as decimal(38,4)) as gross_margin,
    {{ divide('sum(costed_net_sales) - sum(cost_of_sales)', 'sum(costed_net_sales)', 6) }}
        as gross_margin_rate
from hours
group by sales_date, store_id, currency
