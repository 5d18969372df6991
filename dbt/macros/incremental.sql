{#- How the incremental models find what is new, and replace what has changed.

    Every row of staging carries `load_seq`, the number of its load, which rises from load to
    load. A model has processed everything up to the greatest load_seq that it holds itself. So
    no separate bookmark can disagree with the data, and a run that was killed is simply
    repeated.

    The macros that yield rows read the import CTEs of the model that calls them, by the names
    given in their comments. -#}

{#- The load sequence up to which `relation` is complete; 0 where the CTE `if_any` has no row. So an
    engine that reads history again for such rows skips it before it reads, if there are none. -#}
{% macro watermark(relation, column='load_seq', if_any='') -%}
(select coalesce(max({{ column }}), 0){{ lookback() }} from {{ relation }}
    {{- ' where exists (select 1 from ' ~ if_any ~ ')' if if_any }})
{%- endmacro %}

{#- On a laptop one process loads, in order. In Snowflake, loads of Snowpipe may commit out of
    order: there a run reads the last ones again. A row that is read twice changes nothing. -#}
{% macro lookback() -%}
{{ return(adapter.dispatch('lookback', 'medallion')()) }}
{%- endmacro %}

{% macro default__lookback() %}{% endmacro %}

{% macro snowflake__lookback() %} - {{ var('load_seq_lookback') }}{% endmacro %}

{#- Whether an increment adds new lines to the sums that stand, so that its cost does not grow with
    the day. Only where no run reads a line twice; elsewhere the sums are built again. -#}
{% macro is_additive() -%}
{{ return(is_incremental() and not lookback()) }}
{%- endmacro %}

{#- False for `dbt show`, so that it shows what a model holds, not what the next run would add. -#}
{% macro is_incremental() -%}
{{ return(flags.WHICH != 'show' and dbt.is_incremental()) }}
{%- endmacro %}

{#- The UTC days to build again because silver changed after the watermark of `relation`: the days
    that a line has left, and those of new lines where they are not added. Only for the few events
    of which another copy counts now, all copies are read for their days. Reads silver, purchases
    and superseded. -#}
{% macro changed_days(relation) -%}
{% if not is_additive() -%}
select dt from silver where load_seq > {{ watermark(relation) }}
union
{% endif -%}
select dt from purchases where event_id in ({{ replaced_events(relation) }})
{%- endmacro %}

{#- The events of which another copy counts, or none, since the watermark of `relation`: a line of
    silver that replaced another copy has load_seq > first_load_seq, and a newer version of a raw
    object replaces all lines of the one before. Reads silver, purchases and superseded. -#}
{% macro replaced_events(relation) -%}
select event_id from silver
    where load_seq > {{ watermark(relation) }} and load_seq > first_load_seq
    union
    {{ withdrawn_events(relation) }}
{%- endmacro %}

{#- The events in versions of raw objects that a newer one replaced after the watermark of
    `relation`. Reads purchases and superseded. -#}
{% macro withdrawn_events(relation) -%}
select event_id
    from (
        {{ withdrawn_rows('purchases', ['event_id']) }}
        where superseded.load_seq > {{ watermark(relation) }}
    ) as withdrawn
{%- endmacro %}

{#- The lines that came after the watermark of `relation` (unless `added` says that these are added
    to the sums that stand), and those whose product version or rate came after it, or whose product
    may have lost its description. Reads silver, products, rates, feed (the staged products) and
    superseded. -#}
{% macro touched_lines(relation, added=false) -%}
{%- set columns = 'ts, dt, store_id, product_id, basket_id' -%}
{% if not added -%}
select {{ columns }} from silver where load_seq > {{ watermark(relation) }}
    union all
    {% endif -%}
    select {{ columns | replace('product_id', 'silver.product_id') }}
    from silver
    inner join (
        select product_id, valid_from, valid_to from products
        where load_seq > {{ watermark(relation, 'product_seq') }} and is_described
    ) as new_versions
        on silver.product_id = new_versions.product_id
        and silver.ts >= new_versions.valid_from
        and silver.ts < new_versions.valid_to
    union all
    select {{ columns }} from silver
    where product_id in (
        select product_id
        from (
            {{ withdrawn_rows('feed', ['product_id']) }}
            where superseded.load_seq > {{ watermark(relation, 'product_seq') }}
        ) as withdrawn
    )
    union all
    select {{ columns }} from silver
    where ts >= (
            select coalesce(min(valid_from), {{ end_of_time() }}) from rates
            where load_seq > {{ watermark(relation, 'rate_seq') }}
        )
        and ts < (
            select max(valid_to) from rates
            where load_seq > {{ watermark(relation, 'rate_seq') }}
        )
{%- endmacro %}

{#- The store-local days that changed after the watermark of `relation`: those of changed_days, and
    the days of the sales whose product version, rate or store came after it. Each kind has a
    watermark of its own, because each dimension may be built at its own time. It starts from
    silver, not from fct_sales_line, so that only changed lines are joined. Reads silver, purchases,
    superseded, feed, products, stores and rates. -#}
{% macro changed_local_days(relation) -%}
select cast({{ local_time('lines.ts', 'stores.time_zone') }} as date) as sales_date
from (
    {{ touched_lines(relation) }}
) as lines
left join stores on lines.store_id = stores.store_id
union
{{ moved_days(relation) }}
{%- endmacro %}

{#- Those of them in which a line may have been before, at an hour that is unknown now: the days
    around its UTC day. Reads silver, purchases, superseded and stores. -#}
{% macro moved_days(relation) -%}
{%- set moved -%}
select dt from purchases where event_id in ({{ replaced_events(relation) }})
    union
    select dt from silver
    where store_id in (
        select store_id from stores
        where load_seq > {{ watermark(relation, 'store_seq') }}
    )
{%- endset -%}
{{ days_around(moved, 'sales_date') }}
{%- endmacro %}

{#- The days of `rows` (a query with dt), the days before and the days after, as `name`. A local day
    lies within three UTC days, and a UTC day within three local days. -#}
{% macro days_around(rows, name) -%}
select distinct cast({{ dbt.dateadd('day', 'shifts.shift', 'days.dt') }} as date) as {{ name }}
from (
    {{ rows }}
) as days
cross join (select -1 as shift union all select 0 union all select 1) as shifts
{%- endmacro %}

{#- Incremental strategy of silver: a row that the model yields is new, or it replaces a kept copy
    that arrived later (then first_load_seq < load_seq). A row with nothing but the key deletes the
    kept copy. -#}
{% macro get_incremental_keep_earliest_sql(arg_dict) -%}
{%- set target, source = arg_dict['target_relation'], arg_dict['temp_relation'] -%}
{%- set replacing = 'from ' ~ source ~ ' where first_load_seq < load_seq or load_seq is null' -%}
{%- set dml -%}
delete from {{ target }}
where event_key in (select {{ text_key('event_id') }} {{ replacing }})
    and event_id in (select event_id {{ replacing }});
{{ insert_all(arg_dict) }} where load_seq is not null;
{%- endset -%}
{{ in_one_transaction(dml) }}
{%- endmacro %}

{#- Incremental strategy of the models by day and of the dimensions: the model yields every changed
    key with all of its rows. A key without rows is one row with nothing but the key: it is
    deleted. -#}
{% macro get_incremental_replace_keys_sql(arg_dict) -%}
{%- set target, source = arg_dict['target_relation'], arg_dict['temp_relation'] -%}
{%- set keys = arg_dict['unique_key'] -%}
{%- set key = keys if keys is string else keys | join(', ') -%}
{%- set dml -%}
delete from {{ target }} where ({{ key }}) in (select {{ key }} from {{ source }});
{{ insert_all(arg_dict) }} where load_seq is not null;
{%- endset -%}
{{ in_one_transaction(dml) }}
{%- endmacro %}

{#- dbt-duckdb runs a model in one transaction already; Snowflake commits each statement. -#}
{% macro in_one_transaction(dml) -%}
{{ return(adapter.dispatch('in_one_transaction', 'medallion')(dml)) }}
{%- endmacro %}

{% macro default__in_one_transaction(dml) %}{{ return(dml) }}{% endmacro %}

{% macro snowflake__in_one_transaction(dml) -%}
{{ return(snowflake_dml_explicit_transaction(dml.rstrip(';'))) }}
{%- endmacro %}

{#- Insert all rows of the temporary relation; by name where the columns are not listed. -#}
{% macro insert_all(arg_dict) -%}
{%- set target, source = arg_dict['target_relation'], arg_dict['temp_relation'] -%}
{%- if 'dest_columns' in arg_dict -%}
{%- set columns = arg_dict['dest_columns'] | map(attribute='name') | join(', ') -%}
insert into {{ target }} ({{ columns }}) select {{ columns }} from {{ source }}
{%- else -%}
insert into {{ target }} by name select * from {{ source }}
{%- endif -%}
{%- endmacro %}
