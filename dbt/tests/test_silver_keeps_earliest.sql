-- Events of which a copy in bronze arrived before the one that silver kept.
with

bronze as (

    select * from {{ ref('bronze') }}

),

silver as (

    select * from {{ ref('silver') }}

)

select
    copies.event_id,
    copies.source_file,
    copies.source_line,
    kept.source_file as kept_source_file,
    kept.source_line as kept_source_line
from bronze as copies
inner join silver as kept on copies.event_id = kept.event_id
where copies.ingested_at < kept.ingested_at
    or (
        copies.ingested_at = kept.ingested_at
        and (
            copies.source_file < kept.source_file
            or (copies.source_file = kept.source_file and copies.source_line < kept.source_line)
        )
    )
