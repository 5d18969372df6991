with newest as (

    select max(last_sale_at) as as_of from {{ ref('live_sales') }}

),

loads as (

    select
        max(modified_at) as arrived_at,
        max(finished_at) as cleaned_at,
        max(loaded_at) as staged_at
    from {{ ref('receipts') }}
    where load_seq = (select max(load_seq) from {{ ref('receipts') }})

)

select
    newest.as_of,
    {{ reporting_time('newest.as_of') }} as local_as_of,
    cast({{ reporting_time('newest.as_of') }} as date) as sales_day,
    loads.arrived_at,
    loads.cleaned_at,
    loads.staged_at,
    '{{ var("reporting_time_zone") }}' as time_zone,
    '{{ var("reporting_currency") }}' as currency
from newest
cross join loads
