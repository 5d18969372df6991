-- Events of which a copy in bronze arrived before the one that silver kept.
select event_id, source_file, source_line, kept_source_file, kept_source_line
from {{ ref('purchases_duplicates') }}
where ingested_at < kept_ingested_at
    or (
        ingested_at = kept_ingested_at
        and (
            source_file < kept_source_file
            or (source_file = kept_source_file and source_line < kept_source_line)
        )
    )
