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

{#- The minutes (`minute_at`) of the local day of the newest sale and of the same day of the week
    before, with `sales_day`, `sales_hour`, and `is_to_date`: whether the time of day is not later
    than that of the newest sale. To tell a local time takes long, so it is not done for each row of
    live_sales. A local day lies within three UTC days. Reads clock. -#}
{% macro minutes_of_two_days() -%}
select
        minute_at,
        cast(local_minute as date) as sales_day,
        cast(extract(hour from local_minute) as integer) as sales_hour,
        extract(hour from local_minute) * 60 + extract(minute from local_minute)
            <= extract(hour from local_as_of) * 60 + extract(minute from local_as_of)
            as is_to_date
    from (
        select
            utc.minute_at,
            {{ local_time('utc.minute_at', 'utc.time_zone') }} as local_minute,
            utc.local_as_of,
            utc.today
        from (
            select
                {{ dbt.dateadd(
                    'minute',
                    'days.shift * 1440 + hours.passed * 60 + minutes.passed',
                    'cast(cast(clock.as_of as date) as timestamp)'
                ) }} as minute_at,
                clock.time_zone,
                clock.local_as_of,
                clock.sales_day as today
            from clock
            cross join {{ numbers([-8, -7, -6, -1, 0, 1]) }} as days (shift)
            cross join {{ numbers(range(24)) }} as hours (passed)
            cross join {{ numbers(range(60)) }} as minutes (passed)
        ) as utc
    ) as near
    where cast(local_minute as date) in (today, {{ dbt.dateadd('day', -7, 'today') }})
{%- endmacro %}

{% macro numbers(values) %}(values ({{ values | join('), (') }})){% endmacro %}

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
