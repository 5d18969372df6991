with

live_sales as (

    select * from {{ ref('live_sales') }}

),

receipts as {{ inlined() }} (

    select * from {{ ref('receipts') }}

),

rates as (

    select * from {{ ref('dim_fx_rates') }}

),

settings as (

    select * from {{ ref('reporting_settings') }}

),

-- Where every sale is dated after its own arrival or after the newest
-- load, the newest arrival takes the place of a sale.
newest as (

    select coalesce(
        max(case when {{ is_past('last_sale_at') }} then last_sale_at end),
        case when count(*) > 0 then (
            select max(modified_at) from receipts
            where feed = 'purchases' and accepted > 0
        ) end
    ) as as_of
    from live_sales

),

-- The object that was cleaned last, not loaded last: each warehouse loads in an order of its own,
-- and laptop and cloud must agree. An object dated in the future counts only until the next one is
-- cleaned, and a cleaning dated so only until the next one is loaded.
cleaned as (

    select
        max(modified_at) as arrived_at,
        max(finished_at) as cleaned_at
    from receipts
    where finished_at = (
        select max(finished_at) from receipts where {{ is_past('finished_at') }}
    )

),

reporting as (

    select max(reporting_currency) as currency from rates

),

staged as (

    select {{ staged_at() }} as staged_at

)

select
    newest.as_of,
    {{ local_time('newest.as_of', 'settings.time_zone') }} as local_as_of,
    cast({{ local_time('newest.as_of', 'settings.time_zone') }} as date) as sales_day,
    cleaned.arrived_at,
    cleaned.cleaned_at,
    staged.staged_at,
    settings.time_zone,
    reporting.currency
from newest
cross join settings
cross join cleaned
cross join staged
cross join reporting
