{#- SQL that the two warehouses spell differently. -#}

{#- A 63-bit number that stands for a text. It is stored, so it must not change with a version of
    the engine, as hash() may. Two texts may share a number: always compare the texts as well. -#}
{% macro text_key(column) -%}
{{ return(adapter.dispatch('text_key', 'medallion')(column)) }}
{%- endmacro %}

{% macro default__text_key(column) -%}
cast(floor(cast(md5_number_lower64({{ column }}) as decimal(38,0)) / 2) as bigint)
{%- endmacro %}

{#- The upper half of md5_number is md5_number_lower, which takes five times as long. -#}
{% macro duckdb__text_key(column) -%}
cast(md5_number({{ column }}) >> 65 as bigint)
{%- endmacro %}

{#- The lowest 15 bits of a text key: two bytes a row, which a scan compares in half the time. -#}
{% macro bucket(key) %}cast({{ key }} % 32768 as smallint){% endmacro %}

{#- numerator / denominator as a decimal with `scale` digits after the point, rounded half away from
    zero; NULL where the denominator is 0. Both may have up to 22 digits before the point and 6
    after it. -#}
{% macro divide(numerator, denominator, scale=4) -%}
{{ return(adapter.dispatch('divide', 'medallion')(numerator, denominator, scale)) }}
{%- endmacro %}

{#- Snowflake rounds a quotient at 6 to 12 digits, and rounding that once more may give another
    digit. Subtracting the remainder first makes the division exact. -#}
{% macro default__divide(numerator, denominator, scale) -%}
{%- set n = 'cast(cast(' ~ numerator ~ ' as decimal(28,6)) * 1000000 as decimal(38,0))' -%}
{%- set d = 'cast(cast(' ~ denominator ~ ' as decimal(28,6)) * 1000000 as decimal(38,0))' -%}
{%- set x = '(' ~ 2 * 10 ** scale ~ ' * abs(' ~ n ~ ') + abs(' ~ d ~ '))' -%}
{%- set y = 'nullif(2 * abs(' ~ d ~ '), 0)' -%}
cast(
    case when ({{ n }} < 0) = ({{ d }} < 0) then 1 else -1 end
    * cast(({{ x }} - mod({{ x }}, {{ y }})) / {{ y }} as decimal(38,0))
    * {{ '0.' ~ '0' * (scale - 1) ~ '1' }}
    as decimal(38,{{ scale }})
)
{%- endmacro %}

{#- DuckDB divides decimals as floating-point numbers. Whole millionths stay exact. -#}
{% macro duckdb__divide(numerator, denominator, scale) -%}
{%- set n = 'cast(cast(' ~ numerator ~ ' as decimal(28,6)) * 1000000 as hugeint)' -%}
{%- set d = 'nullif(cast(cast(' ~ denominator ~ ' as decimal(28,6)) * 1000000 as hugeint), 0)' -%}
{%- set unit = '0.' ~ '0' * (scale - 1) ~ '1' -%}
cast(
    cast(
        sign({{ n }}) * sign({{ d }})
        * ((2 * {{ 10 ** scale }} * abs({{ n }}) + abs({{ d }})) // (2 * abs({{ d }})))
        as decimal(32,0)
    ) * cast({{ unit }} as decimal({{ scale + 1 }},{{ scale }}))
    as decimal(38,{{ scale }})
)
{%- endmacro %}

{#- `amount`, which has `scale` digits after the point, as `type`, rounded half away from zero.
    DuckDB takes 0.4 microseconds to round a decimal of more than 18 digits, and hardly any for one
    of 18. So an amount that fits into 18 digits gets no more than those. -#}
{% macro rounded(amount, scale, type) -%}
{{ return(adapter.dispatch('rounded', 'medallion')(amount, scale, type)) }}
{%- endmacro %}

{% macro default__rounded(amount, scale, type) %}cast({{ amount }} as {{ type }}){% endmacro %}

{% macro duckdb__rounded(amount, scale, type) -%}
case
        when abs({{ amount }}) < {{ 10 ** (18 - scale) }}
            then cast(cast({{ amount }} as decimal(18,{{ scale }})) as {{ type }})
        else cast({{ amount }} as {{ type }})
    end
{%- endmacro %}

{#- rate * amount, rounded half away from zero to 4 digits after the point. A rate has 8 of them, an
    amount 4. -#}
{% macro times_rate(rate, amount) -%}
{{ rounded(rate ~ ' * ' ~ amount, 12, 'decimal(20,4)') }}
{%- endmacro %}

{#- amount / rate, rounded half away from zero to 4 digits after the point. A rate is greater than 0
    and has 8 digits after the point, an amount up to 12. -#}
{% macro by_rate(amount, rate) -%}
{{ return(adapter.dispatch('by_rate', 'medallion')(amount, rate)) }}
{%- endmacro %}

{% macro default__by_rate(amount, rate) -%}
cast({{ divide(amount ~ ' * 100000000', rate ~ ' * 100000000') }} as decimal(38,4))
{%- endmacro %}

{#- DuckDB takes three microseconds to divide a decimal of more than 18 digits. So the quotient is
    that of floating-point numbers, one step of 0.0001 up or down where the exact rest is more than
    half a step, or half a step away from zero. A quotient that is too large for that is divided as
    any other. -#}
{% macro duckdb__by_rate(amount, rate) -%}
{%- set estimate = 'cast(' ~ amount ~ ' as double) / cast(' ~ rate ~ ' as double)' -%}
{%- set steps = 'cast(' ~ estimate ~ ' as decimal(18,4))' -%}
{%- set twice = '2 * (' ~ amount ~ ' - ' ~ steps ~ ' * ' ~ rate ~ ')' -%}
{%- set step = rate ~ ' * 0.0001' -%}
case
        when abs({{ estimate }}) < 1e11 then cast(
            {{ steps }}
            + case
                when {{ twice }} > {{ step }} or ({{ twice }} = {{ step }} and {{ estimate }} > 0)
                    then 0.0001
                when {{ twice }} < -{{ step }} or ({{ twice }} = -{{ step }} and {{ estimate }} < 0)
                    then -0.0001
                else 0
            end as decimal(20,4)
        )
        else {{ default__by_rate(amount, rate) }}
    end
{%- endmacro %}

{#- A UTC timestamp in the local time of `zone`. -#}
{% macro to_local(ts, zone) -%}
{{ return(adapter.dispatch('to_local', 'medallion')(ts, zone)) }}
{%- endmacro %}

{% macro default__to_local(ts, zone) %}convert_timezone('UTC', {{ zone }}, {{ ts }}){% endmacro %}

{% macro duckdb__to_local(ts, zone) %}timezone({{ zone }}, timezone('UTC', {{ ts }})){% endmacro %}

{#- The same, and UTC where the zone is unknown. Conversion is slow, so that UTC skips it. -#}
{% macro local_time(ts, zone) -%}
case when coalesce({{ zone }}, 'UTC') = 'UTC' then {{ ts }} else {{ to_local(ts, zone) }} end
{%- endmacro %}

{#- A time and a text as one value, which sorts by the time, then by the text. -#}
{% macro in_order(ts, text) -%}
{{ return(adapter.dispatch('in_order', 'medallion')(ts, text)) }}
{%- endmacro %}

{% macro duckdb__in_order(ts, text) %}row({{ ts }}, {{ text }}){% endmacro %}

{% macro snowflake__in_order(ts, text) -%}
lpad(cast({{ dbt.datediff(beginning_of_time(), ts, 'microsecond') }} as varchar), 20, '0')
        || {{ text }}
{%- endmacro %}

{#- How DuckDB evaluates a common table expression: `materialized` computes it once, before any
    filter of those who read it. `inlined` repeats it for every reader, together with the
    reader's filter. An import CTE that is read more than once is inlined: without the word,
    DuckDB would read the whole relation. Snowflake decides by itself. -#}
{% macro materialized() -%}
{{ return(adapter.dispatch('materialized', 'medallion')()) }}
{%- endmacro %}

{% macro default__materialized() %}{% endmacro %}

{% macro duckdb__materialized() %}materialized{% endmacro %}

{% macro inlined() -%}
{{ return(adapter.dispatch('inlined', 'medallion')()) }}
{%- endmacro %}

{% macro default__inlined() %}{% endmacro %}

{% macro duckdb__inlined() %}not materialized{% endmacro %}

{#- After a table is built: tag its customers as personal data, so that Snowflake masks them. -#}
{% macro mark_customers() -%}
{{ return(adapter.dispatch('mark_customers', 'medallion')()) }}
{%- endmacro %}

{% macro default__mark_customers() %}{% endmacro %}

{% macro snowflake__mark_customers() -%}
{%- if execute and model.config.materialized != 'view' and 'customer_id' in model.columns -%}
alter table {{ this }} modify column customer_id
set tag {{ this.database }}.CONTROL.PERSONAL = 'customer'
{%- endif -%}
{%- endmacro %}
