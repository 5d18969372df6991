{#- What the dashboard's models share. They describe the shop at the time of its newest sale, not of
    the clock of the machine that builds them, so that the same sales give the same numbers. The
    macros read the import CTEs of the model that calls them. -#}

{#- How many days before the newest sale the dashboard shows live: the local day of that sale a week
    before, which begins up to a day earlier. -#}
{% macro live_days() %}{{ return(8) }}{% endmacro %}

{#- The time of the newest load, by which all others are measured: a clock that ran ahead may have
    dated sales, arrivals and cleanings after it. Reads receipts. -#}
{% macro staged_at() -%}
(select max_by(loaded_at, load_seq) from receipts)
{%- endmacro %}

{#- Whether a time is not later than the newest load. Without a load every time is. Reads
    receipts. -#}
{% macro is_past(time) -%}
{{ time }} <= coalesce({{ staged_at() }}, {{ end_of_time() }})
{%- endmacro %}

{#- The first UTC day that live_sales keeps, counted back from the newest sale. `sold_at` is NULL
    for a sale dated after its own arrival or after the newest load, which does not count. Where
    no sale counts, all lines stay. -#}
{% macro live_since(sold_at, relation) -%}
(
    select coalesce(
        cast({{ dbt.dateadd('day', -(live_days() + 1), 'max(' ~ sold_at ~ ')') }} as date),
        cast({{ beginning_of_time() }} as date)
    )
    from {{ relation }}
)
{%- endmacro %}

{#- The time `minutes` before the newest sale, as a scalar: with a constant bound an engine can skip
    older rows. Reads clock. -#}
{% macro before_now(minutes) -%}
(select {{ dbt.dateadd('minute', -minutes, 'as_of') }} from clock)
{%- endmacro %}

{#- The rows of live_sales on the day of the newest sale and on the same day of the week before,
    with `local_minute` and `local_as_of`. Reads live_sales and clock. -#}
{% macro sales_of_two_days() -%}
select *
from (
    select
        live_sales.*,
        {{ local_time('live_sales.minute_at', 'clock.time_zone') }} as local_minute,
        clock.local_as_of,
        clock.sales_day as today
    from live_sales
    cross join clock
    -- Local days differ from UTC days by less than a day: these bounds hold both days whole.
    where live_sales.minute_at >= {{ before_now(2 * 1440) }}
        or (
            live_sales.minute_at >= {{ before_now((live_days() + 1) * 1440) }}
            and live_sales.minute_at < {{ before_now(5 * 1440) }}
        )
) as near
where cast(local_minute as date) in (today, {{ dbt.dateadd('day', -7, 'today') }})
{%- endmacro %}

{#- Whether a time of day is not later than that of the newest sale; both local timestamps. -#}
{% macro is_to_date(local_minute, local_as_of) -%}
extract(hour from {{ local_minute }}) * 60 + extract(minute from {{ local_minute }})
        <= extract(hour from {{ local_as_of }}) * 60 + extract(minute from {{ local_as_of }})
{%- endmacro %}

{% macro live_amounts() -%}
{{ return([
    'reporting_gross_sales', 'reporting_discounts', 'reporting_returns', 'reporting_net_sales'
]) }}
{%- endmacro %}

{#- The additive measures, summed again from `sales`, rows of live_sales. -#}
{% macro live_sums() -%}
cast(sum(sales.transactions) as bigint) as transactions,
    cast(sum(sales.category_transactions) as bigint) as category_transactions,
    cast(sum(sales.lines) as bigint) as lines,
    cast(sum(sales.units_sold) as decimal(38,5)) as units_sold,
    cast(sum(sales.units_returned) as decimal(38,5)) as units_returned,
    {% for amount in live_amounts() -%}
    cast(sum(sales.{{ amount }}) as decimal(38,4)) as {{ amount }},
    {% endfor -%}
    cast(sum(sales.unconverted_lines) as bigint) as unconverted_lines
{%- endmacro %}

{#- Start of the arrivals that the dashboard shows. Reads receipts. -#}
{% macro arrivals_since() -%}
(
    select {{ dbt.dateadd('day', -live_days(), 'max(modified_at)') }} from receipts
    where {{ is_past('modified_at') }}
)
{%- endmacro %}

{#- Baskets of a UTC day with what stood in them. Reads lines, as sales_lines yields them. -#}
{% macro baskets_of_lines() -%}
select
    basket_id,
    event_type,
    store_id,
    max(ts) as sold_at,
    max(payment_method) as payment_method,
    max(channel) as channel,
    currency,
    cast(count(*) as bigint) as lines,
    cast(sum(quantity) as decimal(38,5)) as units,
    cast(sum(net_sales) as decimal(38,4)) as net_sales,
    cast(sum(reporting_net_sales) as decimal(38,4)) as reporting_net_sales,
    {{ dbt.listagg('product_name', "', '", 'order by ts, event_id', 3) }} as products,
    {{ dbt.listagg('distinct category', "', '", 'order by category') }} as categories
from lines
group by basket_id, event_type, store_id, currency, utc_date
{%- endmacro %}
