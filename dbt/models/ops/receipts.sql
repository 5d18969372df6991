with

staged as (

    select * from {{ source('staging', 'receipts') }}

)

select
    feed,
    source_file,
    size,
    modified_at,
    checksum,
    lines,
    blank,
    accepted,
    quarantined,
    reasons,
    unknown_fields,
    outputs,
    cleaner_version,
    engine,
    started_at,
    finished_at,
    bronze_file,
    load_seq,
    loaded_at
from staged
