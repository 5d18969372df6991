with

clock as {{ materialized() }} (

    select * from {{ ref('live_clock') }}

),

live_sales as (

    select * from {{ ref('live_sales') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

minutes as {{ materialized() }} (

    {{ minutes_of_two_days() }}

),

totals as (

    select
        minutes.sales_day,
        sales.store_id,
        sales.product_id,
        sales.category,
        minutes.is_to_date,
        cast(sum(sales.lines) as bigint) as lines,
        cast(sum(sales.unconverted_lines) as bigint) as unconverted_lines,
        cast(sum(sales.units_sold) as decimal(38,5)) as units_sold,
        cast(sum(sales.reporting_net_sales) as decimal(38,4)) as reporting_net_sales
    from live_sales as sales
    inner join minutes on sales.minute_at = minutes.minute_at
    group by 1, 2, 3, 4, 5

)

select
    totals.*,
    coalesce(products.product_name, totals.product_id) as product_name
from totals
left join products
    on totals.product_id = products.product_id and products.is_current
