{%- set days = var('comparison_days') -%}
with

hours as {{ inlined() }} (

    select * from {{ ref('sales_hourly') }}

),

clock as (

    select * from {{ ref('sales_clock') }}

),

stores as (

    select * from {{ ref('dim_stores') }}

),

-- The three periods end with their last day and begin after `..._after`. A year ago means 364 days,
-- so that the same weekdays are compared.
bounds as (

    select
        last_date,
        cast({{ dbt.dateadd('day', '-' ~ days, 'last_date') }} as date) as current_after,
        cast({{ dbt.dateadd('day', '-2 * ' ~ days, 'last_date') }} as date) as previous_after,
        cast({{ dbt.dateadd('day', -364, 'last_date') }} as date) as year_ago_last,
        cast({{ dbt.dateadd('day', '-364 - ' ~ days, 'last_date') }} as date) as year_ago_after
    from clock

),

placed as (

    select
        hours.*,
        bounds.last_date,
        bounds.previous_after,
        bounds.year_ago_after,
        hours.sales_date > bounds.current_after as is_current,
        hours.sales_date > bounds.previous_after and hours.sales_date <= bounds.current_after
            as is_previous,
        hours.sales_date > bounds.year_ago_after and hours.sales_date <= bounds.year_ago_last
            as is_year_ago
    from hours
    cross join bounds
    where hours.sales_date <= bounds.last_date

),

periods as (

    select
        store_id,
        min(sales_date) as first_sales_date,
        max(sales_date) as last_sales_date,
        cast(sum(case when is_current then transactions else 0 end) as bigint) as transactions,
        {{ sum_where('is_current', 'reporting_net_sales') }} as net_sales,
        {{ sum_where('is_previous', 'reporting_net_sales') }} as previous_net_sales,
        {{ sum_where('is_year_ago', 'reporting_net_sales') }} as year_ago_net_sales,
        max(last_date) as last_date,
        max(previous_after) as previous_after,
        max(year_ago_after) as year_ago_after
    from placed
    group by store_id

),

-- A store that states no opening counts as open from its first sale.
opened as (

    select
        periods.*,
        stores.store_name,
        stores.city,
        stores.country,
        coalesce(stores.opened_on, periods.first_sales_date) as open_from,
        stores.closed_on is null or stores.closed_on > periods.last_date as is_open
    from periods
    left join stores on periods.store_id = stores.store_id

),

compared as (

    select
        *,
        open_from <= {{ dbt.dateadd('day', 1, 'previous_after') }} and is_open as is_same_store,
        open_from <= {{ dbt.dateadd('day', 1, 'year_ago_after') }} and is_open
            as is_same_store_year_ago
    from opened

),

-- Growth has no base where a store is not the same or sold nothing before.
bases as (

    select
        *,
        case when is_same_store and previous_net_sales > 0 then previous_net_sales end
            as previous_base,
        case when is_same_store_year_ago and year_ago_net_sales > 0 then year_ago_net_sales end
            as year_ago_base
    from compared

)

select
    last_date as as_of,
    store_id,
    coalesce(store_name, store_id) as store_name,
    coalesce(city, {{ unknown() }}) as city,
    coalesce(country, {{ unknown() }}) as country,
    cast(row_number() over (order by net_sales desc nulls last, store_id) as bigint)
        as store_rank,
    transactions,
    net_sales,
    previous_net_sales,
    year_ago_net_sales,
    is_same_store,
    is_same_store_year_ago,
    cast(case when is_same_store then net_sales else 0 end as decimal(38,4))
        as same_store_net_sales,
    cast(case when is_same_store then previous_net_sales else 0 end as decimal(38,4))
        as same_store_previous_net_sales,
    {{ divide('net_sales - previous_net_sales', 'previous_base', 6) }} as same_store_growth_rate,
    {{ divide('net_sales - year_ago_net_sales', 'year_ago_base', 6) }}
        as same_store_year_growth_rate
from bases
