{#- What the marts by day share. They read the import CTEs of the model that calls them. -#}

{#- The store-local days that a run builds: in an increment the changed ones, else all. Reads
    `lines`, and what changed_local_days reads. -#}
{% macro rebuilt_days(relation, lines) -%}
{% if is_incremental() -%}
{{ changed_local_days(relation) }}
{%- else -%}
select distinct sales_date from {{ lines }}
{%- endif %}
{%- endmacro %}

{#- Restrict the sums of a mart by day to the CTE `days` in an increment. -#}
{% macro only_rebuilt_sums() -%}
{% if is_incremental() -%}
where sales_date in (select sales_date from days)
{%- endif %}
{%- endmacro %}

{#- Lines, as sales_lines yields them, and whether a basket counts in each: it counts in the row of
    its first sold line, so that transactions add up over times, stores and products. For each of
    its categories it counts in the row of the first line of that category.

    Args:
        lines: the CTE of the lines.
        basket: the columns that all lines of a basket have in common. -#}
{% macro counted_lines(lines, basket) -%}
select
        {{ lines }}.*,
        first_of_baskets.first_event_id is not null as is_first_of_basket,
        first_of_categories.first_event_id is not null as is_first_of_category
    from {{ lines }}
    left join (
        {{ first_lines(lines, basket) }}
    ) as first_of_baskets on {{ lines }}.event_id = first_of_baskets.first_event_id
    left join (
        {{ first_lines(lines, basket ~ ', category') }}
    ) as first_of_categories on {{ lines }}.event_id = first_of_categories.first_event_id
{%- endmacro %}

{#- The ids of the first sold line of each basket. Numbering the lines by a window function takes
    three times as long. -#}
{% macro first_lines(lines, basket, condition='true') -%}
select min_by(event_id, {{ in_order('ts', 'event_id') }}) as first_event_id
        from {{ lines }}
        where not is_return and {{ condition }}
        group by {{ basket }}
{%- endmacro %}

{#- The baskets that `relation` counts in a line before which a new line comes now, as `keys` with
    -1 transactions; and likewise those of its categories. Reads counted: the lines of counted_lines
    with the flag `stands`, whether relation counts a line and is not built again there. -#}
{% macro lost_baskets(relation, keys, basket) -%}
{%- set before = 'load_seq <= ' ~ watermark(relation) -%}
select {{ keys }}, -1 as transactions, 0 as category_transactions
    from counted
    where stands and not is_first_of_basket
        and event_id in (
            {{ first_lines('counted', basket, before) }}
        )
    union all
    select {{ keys }}, 0 as transactions, -1 as category_transactions
    from counted
    where stands and not is_first_of_category
        and event_id in (
            {{ first_lines('counted', basket ~ ', category', before) }}
        )
{%- endmacro %}

{#- The additive measures, summed from lines. -#}
{% macro sums_of_lines() -%}
cast(count(*) as bigint) as lines,
        cast(sum(units_sold) as decimal(38,5)) as units_sold,
        cast(sum(units_returned) as decimal(38,5)) as units_returned,
        {% for amount in additive_amounts() -%}
        cast(sum({{ amount }}) as decimal(38,4)) as {{ amount }},
        {% endfor -%}
        cast(sum(case when fx_rate is null then 1 else 0 end) as bigint) as unconverted_lines,
        cast(max(load_seq) as bigint) as load_seq,
        cast(max(product_seq) as bigint) as product_seq,
        cast(max(store_seq) as bigint) as store_seq,
        cast(max(rate_seq) as bigint) as rate_seq
{%- endmacro %}

{#- The additive measures, summed again from a mart. -#}
{% macro sums_of_sums() -%}
cast(sum(lines) as bigint) as lines,
    cast(sum(units_sold) as decimal(38,5)) as units_sold,
    cast(sum(units_returned) as decimal(38,5)) as units_returned,
    {% for amount in additive_amounts() -%}
    cast(sum({{ amount }}) as decimal(38,4)) as {{ amount }},
    {% endfor -%}
    cast(sum(unconverted_lines) as bigint) as unconverted_lines
{%- endmacro %}

{#- The newest load that a sum of sums stands on. -#}
{% macro newest_of_sums() -%}
max(load_seq) as load_seq,
        max(product_seq) as product_seq,
        max(store_seq) as store_seq,
        max(rate_seq) as rate_seq
{%- endmacro %}

{#- The amounts that may be added up; of the rates and averages, none. -#}
{% macro additive_amounts() -%}
{{ return([
    'gross_sales', 'discounts', 'returns', 'net_sales', 'tax', 'cost_of_sales', 'costed_net_sales'
] + reporting_amounts()) }}
{%- endmacro %}

{#- Those of them in the reporting currency, which may be added up over all sales. -#}
{% macro reporting_amounts() -%}
{{ return([
    'reporting_gross_sales', 'reporting_discounts', 'reporting_returns', 'reporting_net_sales',
    'reporting_tax', 'reporting_cost_of_sales', 'reporting_costed_net_sales'
]) }}
{%- endmacro %}

{#- An amount of the rows of a period: 0 where the period has no row, NULL where it has rows and
    none of them has a rate. -#}
{% macro sum_where(condition, amount) -%}
cast(case
            when sum(case when {{ condition }} then 1 else 0 end) = 0 then 0
            else sum(case when {{ condition }} then {{ amount }} end)
        end as decimal(38,4))
{%- endmacro %}
