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

sales as (

    {{ sales_of_two_days() }}

),

totals as (

    select
        cast(local_minute as date) as sales_day,
        store_id,
        product_id,
        category,
        {{ is_to_date('local_minute', 'local_as_of') }} as is_to_date,
        cast(sum(lines) as bigint) as lines,
        cast(sum(unconverted_lines) as bigint) as unconverted_lines,
        cast(sum(units_sold) as decimal(38,5)) as units_sold,
        cast(sum(reporting_net_sales) as decimal(38,4)) as reporting_net_sales
    from sales
    group by 1, 2, 3, 4, 5

)

select
    totals.*,
    coalesce(products.product_name, totals.product_id) as product_name
from totals
left join products
    on totals.product_id = products.product_id and products.is_current
