with latest as (

    select max(sales_date) as last_date from {{ ref('sales_daily_product') }}

),

sales as (

    select
        daily.product_id,
        daily.category,
        daily.sales_date > {{ dbt.dateadd('day', '-' ~ var('comparison_days'), 'latest.last_date') }} as is_current,
        daily.units_sold,
        daily.reporting_net_sales
    from {{ ref('sales_daily_product') }} as daily
    cross join latest
    where daily.sales_date > {{ dbt.dateadd('day', '-2 * ' ~ var('comparison_days'), 'latest.last_date') }}

),

periods as (

    select
        product_id,
        max(nullif(category, '(unknown)')) as category,
        cast(sum(case when is_current then units_sold else 0 end) as bigint) as units_sold,
        cast(sum(case when is_current then 0 else units_sold end) as bigint) as previous_units_sold,
        {{ sum_where('is_current', 'reporting_net_sales') }} as net_sales,
        {{ sum_where('not is_current', 'reporting_net_sales') }} as previous_net_sales
    from sales
    group by product_id

)

select
    periods.product_id,
    products.product_name,
    coalesce(nullif(products.category, '(unknown)'), periods.category, '(unknown)') as category,
    periods.units_sold,
    periods.previous_units_sold,
    periods.net_sales,
    periods.previous_net_sales,
    cast(periods.net_sales - periods.previous_net_sales as decimal(38,4)) as change,
    {{ divide('periods.net_sales - periods.previous_net_sales', 'case when periods.previous_net_sales > 0 then periods.previous_net_sales end', 6) }}
        as growth_rate,
    cast(row_number() over (
        order by abs(periods.net_sales - periods.previous_net_sales) desc nulls last, periods.product_id
    ) as bigint) as mover_rank
from periods
left join {{ ref('dim_products') }} as products
    on periods.product_id = products.product_id and products.is_current
