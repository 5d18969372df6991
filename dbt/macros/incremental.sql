{#- How the incremental models find what is new, and replace what has changed.

    Every row of staging carries `load_seq`, one number per load, rising. A model has seen all up to
    the greatest load_seq that it holds itself, so there is no separate bookmark that could differ
    from the data: a run that was killed is simply run again. -#}

{#- The load sequence up to which `relation` is complete. -#}
{% macro watermark(relation, column='load_seq') -%}
(select coalesce(max({{ column }}), 0){{ lookback() }} from {{ relation }})
{%- endmacro %}

{#- On a laptop one process loads, in order. Snowpipe's loads may commit out of order, so that a run
    there looks again at the last ones; a row that is seen twice changes nothing. -#}
{% macro lookback() %}{{ return(adapter.dispatch('lookback', 'medallion')()) }}{% endmacro %}
{% macro default__lookback() %}{% endmacro %}
{% macro snowflake__lookback() %} - {{ var('load_seq_lookback') }}{% endmacro %}

{#- `dbt show` shows what a model holds, not what the next run would add to it. -#}
{% macro is_incremental() -%}
{{ return(flags.WHICH != 'show' and dbt.is_incremental()) }}
{%- endmacro %}

{#- The UTC days whose lines in silver changed after the watermark of `relation`: the days of the
    lines that came, and the days that a line has left. A line that took the place of another one
    shows by load_seq > first_load_seq; only for those (rare) is bronze asked for the other dates. -#}
{% macro changed_days(relation) -%}
select dt from {{ ref('silver') }} where load_seq > {{ watermark(relation) }}
union
select dt from {{ ref('bronze') }}
where event_id in (
    select event_id from {{ ref('silver') }}
    where load_seq > {{ watermark(relation) }} and load_seq > first_load_seq
)
{%- endmacro %}

{#- The lines that came after the watermark of `relation`, and those to which a version of a product
    or a rate applies that came after it. -#}
{% macro touched_lines(relation) -%}
select ts, dt, store_id, basket_id from {{ ref('silver') }} where load_seq > {{ watermark(relation) }}
    union all
    select silver.ts, silver.dt, silver.store_id, silver.basket_id
    from {{ ref('silver') }} as silver
    inner join (
        select product_id, valid_from, valid_to from {{ ref('dim_products') }}
        where load_seq > {{ watermark(relation, 'product_seq') }} and is_described
    ) as products
        on silver.product_id = products.product_id
        and silver.ts >= products.valid_from
        and silver.ts < products.valid_to
    union all
    select ts, dt, store_id, basket_id from {{ ref('silver') }}
    where ts >= (
            select min(valid_from) from {{ ref('dim_fx_rates') }}
            where load_seq > {{ watermark(relation, 'rate_seq') }}
        )
        and ts < (
            select max(valid_to) from {{ ref('dim_fx_rates') }}
            where load_seq > {{ watermark(relation, 'rate_seq') }}
        )
{%- endmacro %}

{#- The store-local days whose lines changed after the watermark of `relation`: as changed_days, and
    the days of the sales to which a version of a product, a rate or a store applies that came after
    it. Each kind has its own watermark, because each dimension may be built at its own time. Where
    the old local day is not known, the days around the UTC day are taken. All begin at silver, not
    at fct_sales_line, so that only what changed is joined. -#}
{% macro changed_local_days(relation) -%}
select cast({{ local_time('lines.ts', 'stores.time_zone') }} as date) as sales_date
from (
    {{ touched_lines(relation) }}
) as lines
left join {{ ref('dim_stores') }} as stores on lines.store_id = stores.store_id
union
select cast({{ dbt.dateadd('day', 'days.shift', 'moved.dt') }} as date)
from (
    select dt from {{ ref('bronze') }}
    where event_id in (
        select event_id from {{ ref('silver') }}
        where load_seq > {{ watermark(relation) }} and load_seq > first_load_seq
    )
    union
    select dt from {{ ref('silver') }}
    where store_id in (
        select store_id from {{ ref('dim_stores') }}
        where load_seq > {{ watermark(relation, 'store_seq') }}
    )
) as moved
cross join (select -1 as shift union all select 0 union all select 1) as days
{%- endmacro %}

{#- Strategy of silver: what the model yields is new, or takes the place of a kept line that arrived
    later (first_load_seq < load_seq). -#}
{% macro get_incremental_keep_earliest_sql(arg_dict) -%}
{%- set target, source = arg_dict['target_relation'], arg_dict['temp_relation'] -%}
{%- set dml -%}
delete from {{ target }}
where event_key in (select event_key from {{ source }} where first_load_seq < load_seq)
    and event_id in (select event_id from {{ source }} where first_load_seq < load_seq);
{{ insert_all(arg_dict) }};
{%- endset -%}
{{ in_one_transaction(dml) }}
{%- endmacro %}

{#- Strategy of the models by day, and of the dimensions: the model yields every changed key whole. A
    key that has no rows left is one row with nothing but the key, and is only deleted. -#}
{% macro get_incremental_replace_keys_sql(arg_dict) -%}
{%- set target, source, key = arg_dict['target_relation'], arg_dict['temp_relation'], arg_dict['unique_key'] -%}
{%- set dml -%}
delete from {{ target }} where {{ key }} in (select {{ key }} from {{ source }});
{{ insert_all(arg_dict) }} where load_seq is not null;
{%- endset -%}
{{ in_one_transaction(dml) }}
{%- endmacro %}

{#- dbt-duckdb runs a model in one transaction already; Snowflake commits each statement. -#}
{% macro in_one_transaction(dml) %}{{ return(adapter.dispatch('in_one_transaction', 'medallion')(dml)) }}{% endmacro %}
{% macro default__in_one_transaction(dml) %}{{ return(dml) }}{% endmacro %}
{% macro snowflake__in_one_transaction(dml) %}{{ return(snowflake_dml_explicit_transaction(dml.rstrip(';'))) }}{% endmacro %}

{#- Inserts by name, where the columns are not listed. -#}
{% macro insert_all(arg_dict) -%}
{%- if 'dest_columns' in arg_dict -%}
{%- set columns = arg_dict['dest_columns'] | map(attribute='name') | join(', ') -%}
insert into {{ arg_dict['target_relation'] }} ({{ columns }}) select {{ columns }} from {{ arg_dict['temp_relation'] }}
{%- else -%}
insert into {{ arg_dict['target_relation'] }} by name select * from {{ arg_dict['temp_relation'] }}
{%- endif -%}
{%- endmacro %}
