{#- Which of the copies of an event counts, and when two copies contradict each other. -#}

{#- The time of the producer's correction of a copy; one without it is older than all others. -#}
{% macro corrected(copy='') -%}
coalesce({{ copy }}corrected_at, {{ beginning_of_time() }})
{%- endmacro %}

{#- The order of the copies of an event: the last correction first, and among equals the first
    arrival. -#}
{% macro order_of_copies() -%}
{{ corrected() }} desc, ingested_at, source_file, source_line
{%- endmacro %}

{#- Whether a copy comes before another one in that order. Both are relations. -#}
{% macro comes_before(one, other) -%}
{{ corrected(one ~ '.') }} > {{ corrected(other ~ '.') }}
        or (
            {{ corrected(one ~ '.') }} = {{ corrected(other ~ '.') }}
            and (
                {{ one }}.ingested_at < {{ other }}.ingested_at
                or (
                    {{ one }}.ingested_at = {{ other }}.ingested_at
                    and (
                        {{ one }}.source_file < {{ other }}.source_file
                        or (
                            {{ one }}.source_file = {{ other }}.source_file
                            and {{ one }}.source_line < {{ other }}.source_line
                        )
                    )
                )
            )
        )
{%- endmacro %}

{#- The fields of the contract that must be equal in all copies of an event: its payload. schema.yml
    names the columns of bronze. -#}
{% macro payload() -%}
{%- set others = [
    'bronze_id', 'event_id', 'corrected_at', 'schema_version', 'source_file', 'source_line',
    'ingested_at', 'dt', 'bronze_file', 'load_seq', 'loaded_at'
] -%}
{%- set columns = graph.nodes['model.medallion.bronze'].columns if execute else [] -%}
{{ return(columns | reject('in', others) | list) }}
{%- endmacro %}

{#- One basket of a day: its store and its number, in one text. The length keeps two stores apart of
    which one is named like the beginning of the other with a number. -#}
{% macro basket_of_store() -%}
cast(length(store_id) as varchar) || ':' || store_id || ':' || basket_id
{%- endmacro %}

{#- The number of baskets among the lines that meet a condition. DuckDB counts pairs in two thirds
    of the time of texts. -#}
{% macro count_baskets(condition) -%}
{{ return(adapter.dispatch('count_baskets', 'medallion')(condition)) }}
{%- endmacro %}

{% macro default__count_baskets(condition) -%}
count(distinct case when {{ condition }} then {{ basket_of_store() }} end)
{%- endmacro %}

{% macro duckdb__count_baskets(condition) -%}
count(distinct row(store_id, basket_id)) filter (where {{ condition }})
{%- endmacro %}
