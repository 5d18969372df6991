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
from {{ source('staging', 'quarantine') }}
