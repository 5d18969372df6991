{#- The members of a dimension that changes slowly, as common table expressions that end with
    `members`. Import CTEs that it reads: `descriptions` (the feed that describes the members)
    and `bronze` (the sales that name them).

    One row per member, or with `keeps_history` one per member and time of a change. Of several
    descriptions of the same time the last arrival counts. A member that was sold but never
    described has one inferred row, and one more row stands for no member at all. The row for no
    member also carries the load up to which the dimension is complete.

    Args:
        key: the column that identifies a member.
        attributes: the columns that describe it; NULL in inferred rows.
        keeps_history: whether every change is a row (type 2), or the latest alone (type 1). -#}
{% macro dimension_members(key, attributes, keeps_history) -%}
{%- set no_attributes = (['null'] * (attributes | length)) | join(', ') -%}
{% if is_incremental() -%}
changed as (

    select {{ key }} from descriptions where load_seq > {{ watermark(this) }}
    union
    select {{ key }}
    from bronze
    where load_seq > {{ watermark(this) }}
        and {{ key }} not in (select {{ key }} from {{ this }})

),

{% endif -%}
described as (

    select *
    from descriptions
    {% if is_incremental() %}
    where {{ key }} in (select {{ key }} from changed)
    {% endif %}
    qualify row_number() over (
        partition by {{ key }}{{ ', ts' if keeps_history }}
        order by ts desc, ingested_at desc, source_file desc, source_line desc, load_seq desc
    ) = 1

),

sold as (

    select
        {{ key }},
        min(load_seq) as load_seq
    from bronze
    where {{ key }} not in (select {{ key }} from described)
    {% if is_incremental() %}
        and load_seq > {{ watermark(this) }}
        and {{ key }} in (select {{ key }} from changed)
    {% endif %}
    group by {{ key }}

),

loads as (

    select load_seq from descriptions
    union all
    select load_seq from bronze
    {% if is_incremental() %}
    where load_seq > {{ watermark(this) }}
    union all
    select load_seq from {{ this }}
    {% endif %}

),

members as (

    select
        {{ key }},
        ts as described_at,
        {{ attributes | join(',\n        ') }},
        true as is_described,
        load_seq
    from described

    union all

    select
        {{ key }},
        null,
        {{ no_attributes }},
        false,
        load_seq
    from sold

    union all

    select
        {{ unknown() }},
        null,
        {{ no_attributes }},
        false,
        coalesce(max(load_seq), 0)
    from loads

)
{%- endmacro %}
