{#- What the warehouses spell differently. -#}

{#- A number of 63 bits that stands for a text. It is stored, so it must never change with a version of
    the engine, as hash() may; equal keys are always confirmed on the text itself. -#}
{% macro text_key(column) %}{{ return(adapter.dispatch('text_key', 'medallion')(column)) }}{% endmacro %}
{% macro default__text_key(column) %}cast(floor(cast(md5_number_lower64({{ column }}) as decimal(38,0)) / 2) as bigint){% endmacro %}
{% macro duckdb__text_key(column) %}cast(md5_number_lower({{ column }}) >> 1 as bigint){% endmacro %}

{#- Fifteen bits of such a number: two bytes that a scan looks at in half the time. -#}
{% macro bucket(key) %}cast({{ key }} % 32768 as smallint){% endmacro %}

{#- numerator / denominator as a decimal of `scale` digits, rounded half away from zero; NULL where
    the denominator is 0. Both are at most 22 digits before and 6 after the point. -#}
{% macro divide(numerator, denominator, scale=4) %}{{ return(adapter.dispatch('divide', 'medallion')(numerator, denominator, scale)) }}{% endmacro %}
{#- Snowflake rounds a quotient at 6 to 12 digits, and to round that again is not the same; what
    mod() leaves is divided without a rest. -#}
{% macro default__divide(numerator, denominator, scale) -%}
{%- set n = 'cast(cast(' ~ numerator ~ ' as decimal(28,6)) * 1000000 as decimal(38,0))' -%}
{%- set d = 'cast(cast(' ~ denominator ~ ' as decimal(28,6)) * 1000000 as decimal(38,0))' -%}
{%- set x = '(' ~ 2 * 10 ** scale ~ ' * abs(' ~ n ~ ') + abs(' ~ d ~ '))' -%}
{%- set y = 'nullif(2 * abs(' ~ d ~ '), 0)' -%}
cast(case when ({{ n }} < 0) = ({{ d }} < 0) then 1 else -1 end * cast(({{ x }} - mod({{ x }}, {{ y }})) / {{ y }} as decimal(38,0)) * {{ '0.' ~ '0' * (scale - 1) ~ '1' }} as decimal(38,{{ scale }}))
{%- endmacro %}
{#- DuckDB divides decimals as floating point; whole numbers of millionths stay exact. -#}
{% macro duckdb__divide(numerator, denominator, scale) -%}
{%- set n = 'cast(cast(' ~ numerator ~ ' as decimal(28,6)) * 1000000 as hugeint)' -%}
{%- set d = 'nullif(cast(cast(' ~ denominator ~ ' as decimal(28,6)) * 1000000 as hugeint), 0)' -%}
cast(cast(sign({{ n }}) * sign({{ d }}) * ((2 * {{ 10 ** scale }} * abs({{ n }}) + abs({{ d }})) // (2 * abs({{ d }}))) as decimal(32,0)) * cast({{ '0.' ~ '0' * (scale - 1) ~ '1' }} as decimal({{ scale + 1 }},{{ scale }})) as decimal(38,{{ scale }}))
{%- endmacro %}

{#- A UTC timestamp as the clock on the wall in `zone` shows it. -#}
{% macro to_local(ts, zone) %}{{ return(adapter.dispatch('to_local', 'medallion')(ts, zone)) }}{% endmacro %}
{% macro default__to_local(ts, zone) %}convert_timezone('UTC', {{ zone }}, {{ ts }}){% endmacro %}
{% macro duckdb__to_local(ts, zone) %}timezone({{ zone }}, timezone('UTC', {{ ts }})){% endmacro %}

{#- The same, UTC where the zone is not known; most engines take their time over zones. -#}
{% macro local_time(ts, zone) -%}
case when coalesce({{ zone }}, 'UTC') = 'UTC' then {{ ts }} else {{ to_local(ts, zone) }} end
{%- endmacro %}

{#- Keeps a filter on the outside of a common table expression from being worked out inside it. -#}
{% macro materialized() %}{{ return(adapter.dispatch('materialized', 'medallion')()) }}{% endmacro %}
{% macro default__materialized() %}{% endmacro %}
{% macro duckdb__materialized() %}materialized{% endmacro %}

{#- After a table is built: marks its customers as personal, so that the account masks them. -#}
{% macro mark_customers() %}{{ return(adapter.dispatch('mark_customers', 'medallion')()) }}{% endmacro %}
{% macro default__mark_customers() %}{% endmacro %}
{% macro snowflake__mark_customers() -%}
{%- if execute and model.config.materialized != 'view' and 'customer_id' in model.columns -%}
alter table {{ this }} modify column customer_id set tag {{ this.database }}.CONTROL.PERSONAL = 'customer'
{%- endif -%}
{%- endmacro %}
