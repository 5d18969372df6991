{#- The members of a dimension that changes slowly, as common table expressions that end with
    `members`. Import CTEs that it reads: `feed` (the staged rows that describe the members),
    `bronze` (the sales that name them), `purchases` (all staged sales) and `superseded`.

    One row per member, or with `keeps_history` one per member and time of a change. Of several
    descriptions of the same time the last arrival counts. A member that was sold but never
    described has one inferred row, and one more row stands for no member at all. The row for no
    member also carries the load up to which the dimension is complete. A member that a superseded
    version of a raw object named is as new as the load of the newer version. Where nothing else
    names it, an increment has a row with nothing but its key, which deletes it.

    Args:
        key: the column that identifies a member.
        attributes: the columns that describe it; NULL in inferred rows.
        keeps_history: whether every change is a row (type 2), or the latest alone (type 1).
        changed_too: a condition on the rows of the dimension that makes them be built again.
        named_by_sale: the attribute that a sale names too. An inferred row has what the first
            load says that names one. -#}
{% macro dimension_members(key, attributes, keeps_history, changed_too='', named_by_sale='') -%}
{%- set no_attributes = (['null'] * (attributes | length)) | join(', ') -%}
{%- set of_sales = [] -%}
{%- for attribute in attributes -%}
{%- do of_sales.append(attribute if attribute == named_by_sale else 'null') -%}
{%- endfor -%}
{%- set sale = named_by_sale or 'null' -%}
descriptions as {{ inlined() }} (

    {{ current_rows('feed') }}

),

withdrawn as (

    select {{ key }}, max(withdrawn_seq) as withdrawn_seq
    from (
        {{ withdrawn_rows('feed', [key]) }}
        union all
        {{ withdrawn_rows('purchases', [key]) }}
    ) as named
    group by {{ key }}

),

{% if is_incremental() -%}
-- Materialized, because an engine that sees bronze read several times may read all of it once.
new_sales as {{ materialized() }} (

    select {{ key }}, load_seq, {{ sale }} as named from bronze
    where load_seq > {{ watermark(this) }}

),

withdrawn_since as (

    select {{ key }} from withdrawn where withdrawn_seq > {{ watermark(this) }}

),

-- Filtered before bronze's condition: a scan that it shared with new_sales would read all history.
sales_of_withdrawn as (

    select *
    from purchases
    where load_seq <= {{ watermark(this, if_any='withdrawn_since') }}
        and {{ key }} in (select {{ key }} from withdrawn_since)

),

changed as (

    select {{ key }} from descriptions where load_seq > {{ watermark(this) }}
    union
    select {{ key }} from withdrawn_since
    union
    select {{ key }} from new_sales where {{ key }} not in (select {{ key }} from {{ this }})
    {% if changed_too %}
    union
    select {{ key }} from {{ this }} where {{ changed_too }}
    {% endif %}
    {% if named_by_sale %}
    union
    select {{ key }}
    from new_sales
    where named is not null
        and {{ key }} in (
            select {{ key }} from {{ this }}
            where not is_described and {{ named_by_sale }} = {{ unknown() }}
        )
    {% endif %}

),

{% endif -%}
told as (

    select *
    from descriptions
    {% if is_incremental() %}
    where {{ key }} in (select {{ key }} from changed)
    {% endif %}

),

described as (

    {{ latest_descriptions('told', [key, 'ts'] if keeps_history else [key], attributes) }}

),

sold_in_load as (

    select
        {{ key }},
        load_seq,
        min(named) as named
    from (
        {% if not is_incremental() %}
        select {{ key }}, load_seq, {{ sale }} as named from bronze
        {% else %}
        select {{ key }}, load_seq, named from new_sales
        union all
        select {{ key }}, load_seq, {{ sale }}
        from (
            {{ current_rows('sales_of_withdrawn') }}
        ) as remaining
        union all
        select
            {{ key }},
            load_seq,
            {{ 'nullif(' ~ sale ~ ', ' ~ unknown() ~ ')' if named_by_sale else 'null' }}
        from {{ this }}
        where not is_described and {{ key }} <> {{ unknown() }}
            and {{ key }} not in (select {{ key }} from withdrawn_since)
        {% endif %}
    ) as sales
    where {{ key }} not in (select {{ key }} from described)
    {% if is_incremental() %}
        and {{ key }} in (select {{ key }} from changed)
    {% endif %}
    group by {{ key }}, load_seq

),

sold as (

    select
        {{ key }},
        min(load_seq) as load_seq,
        max(case when place = 1 then named end) as {{ named_by_sale or 'named' }}
    from (
        select
            *,
            row_number() over (
                partition by {{ key }}
                order by case when named is null then 1 else 0 end, load_seq
            ) as place
        from sold_in_load
    ) as placed
    group by {{ key }}

),

loads as (

    select load_seq from descriptions
    union all
    select withdrawn_seq from withdrawn
    union all
    {% if not is_incremental() %}
    select load_seq from bronze
    {% else %}
    select load_seq from new_sales
    union all
    select load_seq from {{ this }}
    {% endif %}

),

named as (

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
        {{ of_sales | join(', ') }},
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

),

members as (

    select
        named.* exclude (load_seq),
        case
            when withdrawn.withdrawn_seq > named.load_seq then withdrawn.withdrawn_seq
            else named.load_seq
        end as load_seq
    from named
    left join withdrawn on named.{{ key }} = withdrawn.{{ key }}
    {% if is_incremental() %}
    union all
    select
        withdrawn_since.{{ key }},
        named.* exclude ({{ key }}, load_seq),
        named.load_seq
    from withdrawn_since
    left join named on withdrawn_since.{{ key }} = named.{{ key }}
    where named.{{ key }} is null
    {% endif %}

)
{%- endmacro %}
