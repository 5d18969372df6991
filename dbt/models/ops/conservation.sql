{%- set feeds = ['purchases', 'products', 'stores', 'fx_rates'] -%}
with

{% for feed in feeds -%}
{{ feed }} as (

    select * from {{ source('staging', feed) }}

),

{% endfor -%}
quarantine as (

    select * from {{ source('staging', 'quarantine') }}

),

all_receipts as (

    select * from {{ source('staging', 'receipts') }}

),

staged as (

    {% for feed in feeds %}
    select '{{ feed }}' as feed, source_file, cast(count(*) as bigint) as staged
    from {{ feed }}
    group by source_file
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

rejected as (

    select source_file, cast(count(*) as bigint) as rejected
    from quarantine
    group by source_file

),

receipts as (

    select
        source_file,
        max(feed) as feed,
        cast(count(*) as bigint) as receipts,
        max(lines) as lines,
        max(blank) as blank,
        max(accepted) as accepted,
        max(quarantined) as quarantined
    from all_receipts
    group by source_file

),

files as (

    select source_file from receipts
    union
    select source_file from staged
    union
    select source_file from rejected

)

select
    files.source_file,
    coalesce(receipts.feed, staged.feed) as feed,
    coalesce(receipts.receipts, 0) as receipts,
    receipts.lines,
    receipts.blank,
    receipts.accepted,
    receipts.quarantined,
    coalesce(staged.staged, 0) as staged_rows,
    coalesce(rejected.rejected, 0) as quarantine_rows,
    coalesce(
        receipts.receipts = 1
        and receipts.lines = receipts.blank + receipts.accepted + receipts.quarantined
        and receipts.accepted = coalesce(staged.staged, 0)
        and receipts.quarantined = coalesce(rejected.rejected, 0),
        false
    ) as holds
from files
left join receipts on files.source_file = receipts.source_file
left join staged on files.source_file = staged.source_file
left join rejected on files.source_file = rejected.source_file
