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

{#- The last arrival of several descriptions of the same `keys`, with the load_seq of the load since
    which it says the same in `attributes`. What is described again in the same words stays as old
    as it is, so that nothing that was built with it is built again. `rows` is a relation with ts
    and the columns of an arrival. -#}
{% macro latest_descriptions(rows, keys, attributes) -%}
{%- set keys = keys | join(', ') -%}
{%- set newest_first -%}
over (
                    partition by {{ keys }}
                    order by
                        ts desc, ingested_at desc, source_file desc, source_line desc, load_seq desc
                )
{%- endset -%}
select
    * exclude (load_seq, place, other_seq, last_other_seq, same_since),
    coalesce(same_since, load_seq) as load_seq
from (
    select
        *,
        min(case when load_seq > last_other_seq then load_seq end) over (partition by {{ keys }})
            as same_since
    from (
        select
            *,
            max(other_seq) over (partition by {{ keys }}) as last_other_seq
        from (
            select
                *,
                row_number() {{ newest_first }} as place,
                case
                    when false
                        {%- for attribute in attributes %}
                        or {{ attribute }} is distinct from
                            first_value({{ attribute }}) {{ newest_first }}
                        {%- endfor %}
                        then load_seq
                    else 0
                end as other_seq
            from {{ rows }}
        ) as compared
    ) as dated
) as since
where place = 1
{%- endmacro %}
