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
    kept.source_file as kept_source_file,
    kept.source_line as kept_source_line,
    kept.ingested_at as kept_ingested_at
    {%- for field in payload() %},
    copies.{{ field }},
    kept.{{ field }} as kept_{{ field }}
    {%- endfor %}
from bronze as copies
inner join silver as kept on copies.event_id = kept.event_id
where {{ corrected('copies.') }} = {{ corrected('kept.') }}
    and (
        false
        {%- for field in payload() %}
        or copies.{{ field }} is distinct from kept.{{ field }}
        {%- endfor %}
    )
