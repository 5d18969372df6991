-- The last change counts. Always one row, also where nothing was ever set.
with

changes as (

    select * from {{ source('staging', 'settings') }}

),

latest as (

    select max(load_seq) as load_seq from changes

)

select
    changes.reporting_currency,
    coalesce(changes.time_zone, 'UTC') as time_zone,
    cast(coalesce(latest.load_seq, 0) as bigint) as load_seq
from latest
left join changes on latest.load_seq = changes.load_seq
