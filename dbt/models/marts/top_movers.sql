{%- set days = var('comparison_days') -%}
with

daily_products as {{ inlined() }} (

    select * from {{ ref('sales_daily_product') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

clock as (

    select * from {{ ref('sales_clock') }}

),

sales as (

    select
        daily_products.product_id,
        daily_products.category,
        daily_products.sales_date > {{ dbt.dateadd('day', '-' ~ days, 'clock.last_date') }}
            as is_current,
        daily_products.units_sold,
        daily_products.reporting_net_sales
    from daily_products
    cross join clock
    where daily_products.sales_date <= clock.last_date
        and daily_products.sales_date
        > {{ dbt.dateadd('day', '-2 * ' ~ days, 'clock.last_date') }}

),

periods as (

    select
        product_id,
        max(nullif(category, {{ unknown() }})) as category,
        cast(sum(case when is_current then units_sold else 0 end) as decimal(38,5)) as units_sold,
        cast(sum(case when is_current then 0 else units_sold end) as decimal(38,5))
            as previous_units_sold,
        {{ sum_where('is_current', 'reporting_net_sales') }} as net_sales,
        {{ sum_where('not is_current', 'reporting_net_sales') }} as previous_net_sales
    from sales
    group by product_id

),

-- Growth has no base where nothing was sold before.
bases as (

    select
        *,
        net_sales - previous_net_sales as change,
        case when previous_net_sales > 0 then previous_net_sales end as previous_base
    from periods

)

select
    bases.product_id,
    products.product_name,
    coalesce(nullif(products.category, {{ unknown() }}), bases.category, {{ unknown() }})
        as category,
    bases.units_sold,
    bases.previous_units_sold,
    bases.net_sales,
    bases.previous_net_sales,
    cast(bases.change as decimal(38,4)) as change,
    {{ divide('bases.change', 'bases.previous_base', 6) }} as growth_rate,
    cast(row_number() over (
        order by abs(bases.change) desc nulls last, bases.product_id
    ) as bigint) as mover_rank
from bases
left join products on bases.product_id = products.product_id and products.is_current
