{#- On DuckDB an incremental run is one request and one transaction: the rows that the model yields
    go into a temporary table, then the strategy deletes and inserts. dbt-duckdb's own
    materialization queries the catalog some eight times, which costs more than a small batch;
    it still creates the table, and serves every other strategy. A run that was killed leaves
    nothing behind. -#}
{% materialization incremental, adapter='duckdb' -%}
  {%- set strategy = config.get('incremental_strategy') -%}
  {%- set existing = load_cached_relation(this) -%}
  {%- if existing is none or not existing.is_table or should_full_refresh()
      or strategy not in ['keep_earliest', 'replace_keys'] -%}
    {{ return(dbt.materialization_incremental_duckdb()) }}
  {%- endif -%}
  {%- set target_relation = this.incorporate(type='table') -%}
  {%- set changes = api.Relation.create(identifier=this.identifier ~ '__changes') -%}
  {{ run_hooks(pre_hooks) }}
  {% call statement('main') -%}
    create or replace temporary table {{ changes }} as
    {{ compiled_code }};
    {{ context['get_incremental_' ~ strategy ~ '_sql']({
      'target_relation': target_relation,
      'temp_relation': changes,
      'unique_key': config.get('unique_key')
    }) }}
    {% if 'sales_month' in model.columns -%}
    {#- A table by month is long: who publishes it need not search it for what has changed. -#}
    select distinct sales_date, sales_hour from {{ changes }};
    {%- endif %}
    drop table {{ changes }};
  {%- endcall %}
  {{ run_hooks(post_hooks) }}
  {% do adapter.commit() %}
  {{ return({'relations': [target_relation]}) }}
{%- endmaterialization %}

{#- On DuckDB a view is replaced in one statement. dbt's own materialization creates it under
    another name, renames it, and drops the one before: three times as much, for thirty views. -#}
{% materialization view, adapter='duckdb' -%}
  {%- set existing = load_cached_relation(this) -%}
  {%- if existing is not none and not existing.is_view -%}
    {{ return(dbt.materialization_view_default()) }}
  {%- endif -%}
  {%- set target_relation = this.incorporate(type='view') -%}
  {{ run_hooks(pre_hooks) }}
  {% call statement('main') -%}
    {% if config.get('contract').enforced -%}
    {{ get_assert_columns_equivalent(sql) }}
    {%- endif %}
    create or replace view {{ target_relation }} as (
    {{ sql }}
    );
  {%- endcall %}
  {{ run_hooks(post_hooks) }}
  {% do adapter.commit() %}
  {{ return({'relations': [target_relation]}) }}
{%- endmaterialization %}
