{%- set feeds = ['purchases', 'products', 'stores', 'fx_rates', 'targets'] -%}
with

{% for feed in feeds -%}
{{ feed }} as (

    select * from {{ source('staging', feed) }}

),

{% endfor -%}
quarantine as (

    select * from {{ source('staging', 'quarantine') }}

),

receipts as (

    select * from {{ source('staging', 'receipts') }}

),

staged as (

    {% for feed in feeds %}
    select '{{ feed }}' as feed, source_file, ingested_at, cast(count(*) as bigint) as staged_rows
    from {{ feed }}
    group by source_file, ingested_at
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

rejected as (

    select source_file, ingested_at, cast(count(*) as bigint) as quarantine_rows
    from quarantine
    group by source_file, ingested_at

),

received as (

    select
        source_file,
        modified_at as ingested_at,
        max(feed) as feed,
        cast(count(*) as bigint) as receipts,
        max(lines) as lines,
        max(blank) as blank,
        max(accepted) as accepted,
        max(quarantined) as quarantined
    from receipts
    group by source_file, modified_at

),

versions as (

    select source_file, ingested_at from received
    union
    select source_file, ingested_at from staged
    union
    select source_file, ingested_at from rejected

),

compared as (

    select
        versions.source_file,
        versions.ingested_at,
        coalesce(received.feed, staged.feed) as feed,
        coalesce(received.receipts, 0) as receipts,
        received.lines,
        received.blank,
        received.accepted,
        received.quarantined,
        coalesce(staged.staged_rows, 0) as staged_rows,
        coalesce(rejected.quarantine_rows, 0) as quarantine_rows
    from versions
    left join received
        on versions.source_file = received.source_file
        and versions.ingested_at = received.ingested_at
    left join staged
        on versions.source_file = staged.source_file
        and versions.ingested_at = staged.ingested_at
    left join rejected
        on versions.source_file = rejected.source_file
        and versions.ingested_at = rejected.ingested_at

),

judged as (

    select
        *,
        coalesce(
            receipts = 1
            and lines = blank + accepted + quarantined
            and accepted = staged_rows
            and quarantined = quarantine_rows,
            false
        ) as version_holds
    from compared

),

-- The newest version speaks for its object; the object holds when each of its versions does.
placed as (

    select
        *,
        cast(count(*) over (partition by source_file) as bigint) as versions,
        min(case when version_holds then 1 else 0 end) over (partition by source_file) = 1 as holds,
        row_number() over (partition by source_file order by ingested_at desc) as place
    from judged

)

select
    source_file,
    ingested_at,
    feed,
    versions,
    receipts,
    lines,
    blank,
    accepted,
    quarantined,
    staged_rows,
    quarantine_rows,
    holds
from placed
where place = 1
