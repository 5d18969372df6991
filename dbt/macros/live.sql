{#- What the dashboard's models have in common. They say how the shop stands at the time of the newest
    sale, not by the clock of whoever builds them, so that the same sales give the same numbers. -#}

{#- The days that the dashboard offers, each beside the same day of the week before. -#}
{% macro live_days() %}{{ return(15) }}{% endmacro %}

{#- The time of the newest load: the measure of all other times, because a clock that ran ahead may have
    dated sales, arrivals and cleanings after it. -#}
{% macro staged_at() -%}
(
    select max(loaded_at) from {{ ref('receipts') }}
    where load_seq = (select max(load_seq) from {{ ref('receipts') }})
)
{%- endmacro %}

{#- Whether a time is none of a clock that ran ahead; without a load there is nothing to measure it by. -#}
{% macro is_past(time) -%}
{{ time }} <= coalesce({{ staged_at() }}, cast('2200-01-01' as timestamp))
{%- endmacro %}

{#- The first UTC day of which lines are kept. The newest sale decides; one that is dated after its own
    arrival, or after the newest load, does not count. Where no sale counts, all are kept. -#}
{% macro live_since(sold_at, relation) -%}
(
    select coalesce(
        cast({{ dbt.dateadd('day', -(live_days() + 1), 'max(' ~ sold_at ~ ')') }} as date),
        cast('1970-01-01' as date)
    )
    from {{ relation }}
)
{%- endmacro %}

{#- The clock, read once by a model, whose first expression this is. -#}
{% macro the_clock() -%}
clock as {{ materialized() }} (

    select * from {{ ref('live_clock') }}

)
{%- endmacro %}

{#- So many minutes before the newest sale. A bound of its own lets an engine skip what is older. -#}
{% macro before_now(minutes) -%}
(select {{ dbt.dateadd('minute', -minutes, 'as_of') }} from clock)
{%- endmacro %}

{#- A UTC instant as the clock of the reporting time zone shows it. -#}
{% macro reporting_time(ts) -%}
{{ local_time(ts, '(select time_zone from ' ~ ref('reporting_settings') ~ ')') }}
{%- endmacro %}

{% macro live_amounts() -%}
{{ return(['reporting_gross_sales', 'reporting_discounts', 'reporting_returns', 'reporting_net_sales']) }}
{%- endmacro %}

{#- The additive measures, summed again from live_sales. -#}
{% macro live_sums() -%}
cast(sum(sales.transactions) as bigint) as transactions,
    cast(sum(sales.category_transactions) as bigint) as category_transactions,
    cast(sum(sales.lines) as bigint) as lines,
    cast(sum(sales.units_sold) as bigint) as units_sold,
    cast(sum(sales.units_returned) as bigint) as units_returned,
    {% for amount in live_amounts() -%}
    cast(sum(sales.{{ amount }}) as decimal(38,4)) as {{ amount }},
    {% endfor -%}
    cast(sum(sales.unconverted_lines) as bigint) as unconverted_lines
{%- endmacro %}

{#- From when on arrivals are told of. -#}
{% macro arrivals_since() -%}
(
    select {{ dbt.dateadd('day', -live_days(), 'max(modified_at)') }} from {{ ref('receipts') }}
    where {{ is_past('modified_at') }}
)
{%- endmacro %}

{#- Baskets from `lines`, with what stood in them. -#}
{% macro baskets_of_lines(by_day=false) -%}
select
    basket_id,
    event_type,
    store_id,
    max(ts) as sold_at,
    max(payment_method) as payment_method,
    max(channel) as channel,
    currency,
    cast(count(*) as bigint) as lines,
    cast(sum(quantity) as bigint) as units,
    cast(sum(net_sales) as decimal(38,4)) as net_sales,
    cast(sum(reporting_net_sales) as decimal(38,4)) as reporting_net_sales,
    {{ dbt.listagg('product_name', "', '", 'order by ts, event_id', 3) }} as products,
    {{ dbt.listagg('distinct category', "', '", 'order by category') }} as categories
from lines
group by basket_id, event_type, store_id, currency{{ ', utc_date' if by_day }}
{%- endmacro %}
