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
    copies.ingested_at,
    copies.dt,
    copies.total_amount,
    copies.load_seq,
    kept.source_file as kept_source_file,
    kept.source_line as kept_source_line,
    kept.ingested_at as kept_ingested_at,
    kept.dt as kept_dt,
    kept.total_amount as kept_total_amount
from bronze as copies
inner join silver as kept on copies.event_id = kept.event_id
where copies.source_file <> kept.source_file or copies.source_line <> kept.source_line
