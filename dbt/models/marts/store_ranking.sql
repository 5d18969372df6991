with latest as (

    select max(sales_date) as last_date from {{ ref('sales_hourly') }}

),

bounds as (

    select
        last_date,
        cast({{ dbt.dateadd('day', '-' ~ var('comparison_days'), 'last_date') }} as date) as current_after,
        cast({{ dbt.dateadd('day', '-2 * ' ~ var('comparison_days'), 'last_date') }} as date) as previous_after,
        cast({{ dbt.dateadd('day', -364, 'last_date') }} as date) as year_ago_last,
        cast({{ dbt.dateadd('day', '-364 - ' ~ var('comparison_days'), 'last_date') }} as date) as year_ago_after
    from latest

),

periods as (

    select
        hourly.store_id,
        min(hourly.sales_date) as first_sales_date,
        max(hourly.sales_date) as last_sales_date,
        cast(sum(case when hourly.sales_date > bounds.current_after then hourly.transactions else 0 end) as bigint)
            as transactions,
        {{ sum_where('hourly.sales_date > bounds.current_after', 'hourly.reporting_net_sales') }}
            as net_sales,
        {{ sum_where(
            'hourly.sales_date > bounds.previous_after and hourly.sales_date <= bounds.current_after',
            'hourly.reporting_net_sales'
        ) }} as previous_net_sales,
        {{ sum_where(
            'hourly.sales_date > bounds.year_ago_after and hourly.sales_date <= bounds.year_ago_last',
            'hourly.reporting_net_sales'
        ) }} as year_ago_net_sales,
        max(bounds.last_date) as last_date,
        max(bounds.previous_after) as previous_after,
        max(bounds.year_ago_after) as year_ago_after
    from {{ ref('sales_hourly') }} as hourly
    cross join bounds
    group by hourly.store_id

),

-- A store whose opening is not stated counts as open from its first sale.
compared as (

    select
        periods.*,
        stores.store_name,
        stores.city,
        stores.country,
        coalesce(stores.opened_on, periods.first_sales_date) <= {{ dbt.dateadd('day', 1, 'periods.previous_after') }}
            and (stores.closed_on is null or stores.closed_on > periods.last_date) as is_same_store,
        coalesce(stores.opened_on, periods.first_sales_date) <= {{ dbt.dateadd('day', 1, 'periods.year_ago_after') }}
            and (stores.closed_on is null or stores.closed_on > periods.last_date) as is_same_store_year_ago
    from periods
    left join {{ ref('dim_stores') }} as stores on periods.store_id = stores.store_id

)

select
    last_date as as_of,
    store_id,
    coalesce(store_name, store_id) as store_name,
    coalesce(city, '(unknown)') as city,
    coalesce(country, '(unknown)') as country,
    cast(row_number() over (order by net_sales desc nulls last, store_id) as bigint) as store_rank,
    transactions,
    net_sales,
    previous_net_sales,
    year_ago_net_sales,
    is_same_store,
    is_same_store_year_ago,
    cast(case when is_same_store then net_sales else 0 end as decimal(38,4)) as same_store_net_sales,
    cast(case when is_same_store then previous_net_sales else 0 end as decimal(38,4))
        as same_store_previous_net_sales,
    {{ divide('net_sales - previous_net_sales', 'case when is_same_store and previous_net_sales > 0 then previous_net_sales end', 6) }}
        as same_store_growth_rate,
    {{ divide('net_sales - year_ago_net_sales', 'case when is_same_store_year_ago and year_ago_net_sales > 0 then year_ago_net_sales end', 6) }}
        as same_store_year_growth_rate
from compared
