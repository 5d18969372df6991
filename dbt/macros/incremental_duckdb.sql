{#- On DuckDB an incremental run is one transaction of one request: what the model yields goes into a
    temporary table, the strategy deletes and inserts. dbt-duckdb's own way asks the catalog some
    eight times, which costs more than the work when a batch is small; it still builds the table,
    and serves every strategy that is not ours. A run that was killed leaves nothing behind. -#}
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
      'target_relation': target_relation, 'temp_relation': changes, 'unique_key': config.get('unique_key')
    }) }}
    drop table {{ changes }};
  {%- endcall %}
  {{ run_hooks(post_hooks) }}
  {% do adapter.commit() %}
  {{ return({'relations': [target_relation]}) }}
{%- endmaterialization %}
