with

staged as (

    select * from {{ source('staging', 'quarantine') }}

)

select
    feed,
    reason,
    raw,
    raw_size,
    source_file,
    source_line,
    ingested_at,
    bronze_file,
    load_seq,
    loaded_at
from staged
