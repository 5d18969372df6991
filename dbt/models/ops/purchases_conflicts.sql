with

bronze as (

    select * from {{ ref('bronze') }}

),

silver as (

    select * from {{ ref('silver') }}

),

-- Few events have copies. Only these are compared in all their fields.
pairs as {{ materialized() }} (

    select * from {{ ref('purchases_duplicates') }}

)

select
    pairs.event_id,
    pairs.source_file,
    pairs.source_line,
    pairs.ingested_at,
    pairs.kept_source_file,
    pairs.kept_source_line,
    pairs.kept_ingested_at
    {%- for field in payload() %},
    copies.{{ field }},
    kept.{{ field }} as kept_{{ field }}
    {%- endfor %}
from pairs
inner join bronze as copies
    on pairs.event_id = copies.event_id
    and pairs.source_file = copies.source_file
    and pairs.source_line = copies.source_line
    and pairs.ingested_at = copies.ingested_at
inner join silver as kept on pairs.event_id = kept.event_id
where {{ corrected('copies.') }} = {{ corrected('kept.') }}
    and (
        false
        {%- for field in payload() %}
        or copies.{{ field }} is distinct from kept.{{ field }}
        {%- endfor %}
    )
