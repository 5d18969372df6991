{#- A raw object may be appended to or rewritten under its name. Its newest version speaks for it,
    and `superseded` names the others: source_file, ingested_at, and the load_seq of the load that
    brought the newer one. Their rows stay in staging, and no model counts them. The macros read the
    import CTE superseded. -#}

{#- The rows of a staging table whose version of the raw object is the newest. -#}
{% macro current_rows(staged, arrived='ingested_at') -%}
select {{ staged }}.*
    from {{ staged }}
    left join superseded
        on {{ staged }}.source_file = superseded.source_file
        and {{ staged }}.{{ arrived }} = superseded.ingested_at
    where superseded.source_file is null
{%- endmacro %}

{#- Columns of the rows whose version of the raw object was superseded, with the load_seq of the
    load that brought the newer version, as withdrawn_seq. -#}
{% macro withdrawn_rows(staged, columns) -%}
select
        {%- for column in columns %}
        {{ staged }}.{{ column }},
        {%- endfor %}
        superseded.load_seq as withdrawn_seq
    from {{ staged }}
    inner join superseded
        on {{ staged }}.source_file = superseded.source_file
        and {{ staged }}.ingested_at = superseded.ingested_at
{%- endmacro %}
