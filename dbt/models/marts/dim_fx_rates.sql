{{ config(incremental_strategy='replace_keys', unique_key='currency', tmp_relation_type='table') }}

with rates as (

    select *
    from {{ source('staging', 'fx_rates') }}
    where reporting_currency = '{{ var("reporting_currency") }}'
        and currency <> '{{ var("reporting_currency") }}'
        {% if is_incremental() %}
        and currency in (
            select currency from {{ source('staging', 'fx_rates') }}
            where load_seq > {{ watermark(this) }}
        )
        {% endif %}
    qualify row_number() over (
        partition by currency, ts
        order by ingested_at desc, source_file desc, source_line desc, load_seq desc
    ) = 1

)

select
    currency,
    ts as valid_from,
    coalesce(
        lead(ts) over (partition by currency order by ts), cast('2200-01-01' as timestamp)
    ) as valid_to,
    reporting_currency,
    rate,
    load_seq
from rates

{% if not is_incremental() -%}
union all

select
    '{{ var("reporting_currency") }}',
    cast('1970-01-01' as timestamp),
    cast('2200-01-01' as timestamp),
    '{{ var("reporting_currency") }}',
    cast(1 as decimal(18,8)),
    cast(0 as bigint)
{%- endif %}
