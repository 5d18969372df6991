with

purchases as {{ inlined() }} (

    select * from {{ source('staging', 'purchases') }}

),

superseded as (

    select * from {{ source('staging', 'superseded') }}

),

silver as {{ inlined() }} (

    select * from {{ ref('silver') }}

),

{% if is_incremental() %}
-- The days to sum again.
rebuilt as {{ materialized() }} (

    {{ changed_days(this) }}

),
{% endif %}

{% if is_additive() %}
-- The new lines of all other days, which are added to what stands there.
gained as {{ materialized() }} (

    select * from silver
    where load_seq > {{ watermark(this) }} and dt not in (select dt from rebuilt)

),

-- How many of their baskets have been counted before.
recounted as (

    select
        dt,
        currency,
        {{ count_baskets('true') }} as transactions
    from silver
    where load_seq <= {{ watermark(this) }}
        and not is_return
        and (dt, currency, store_id, basket_id) in (
            select dt, currency, store_id, basket_id from gained where not is_return
        )
    group by dt, currency

),
{% endif %}

lines as {{ inlined() }} (

    select * from silver
    {% if is_incremental() %}
    where dt in (select dt from rebuilt)
    {% endif %}
    {% if is_additive() %}
    union all
    select * from gained
    {% endif %}

),

totals as (

    select
        dt,
        currency,
        cast({{ count_baskets('not is_return') }} as bigint) as transactions,
        cast(count(*) as bigint) as lines,
        cast(sum(case when is_return then 0 else 1 end) as bigint) as purchase_lines,
        cast(sum(case when is_return then 1 else 0 end) as bigint) as return_lines,
        cast(sum(case when is_return then 0 else quantity end) as decimal(38,5)) as units_sold,
        cast(sum(case when is_return then quantity else 0 end) as decimal(38,5)) as units_returned,
        cast(sum(case when is_return then 0 else gross_amount end) as decimal(38,4))
            as gross_sales,
        cast(sum(case when is_return then 0 else discount_amount end) as decimal(38,4))
            as discounts,
        cast(sum(case when is_return then total_amount else 0 end) as decimal(38,4)) as returns,
        cast(sum(net_amount) as decimal(38,4)) as net_sales,
        cast(sum(net_tax_amount) as decimal(38,4)) as tax,
        cast(max(load_seq) as bigint) as load_seq
    from lines
    group by dt, currency

),

days as (

    {% if is_incremental() %}
    select dt from rebuilt
    {% if is_additive() %}
    union
    select dt from gained
    {% endif %}
    {% else %}
    select distinct dt from silver
    {% endif %}

),

sums as (

    {% if is_additive() %}
    select
        dt,
        currency,
        {% for count in ['transactions', 'lines', 'purchase_lines', 'return_lines'] -%}
        cast(sum({{ count }}) as bigint) as {{ count }},
        {% endfor -%}
        {% for units in ['units_sold', 'units_returned'] -%}
        cast(sum({{ units }}) as decimal(38,5)) as {{ units }},
        {% endfor -%}
        {% for amount in ['gross_sales', 'discounts', 'returns', 'net_sales', 'tax'] -%}
        cast(sum({{ amount }}) as decimal(38,4)) as {{ amount }},
        {% endfor -%}
        max(load_seq) as load_seq
    from (
        select * from totals
        union all by name
        select
            standing.sales_date as dt,
            standing.currency,
            standing.transactions - coalesce(recounted.transactions, 0) as transactions,
            standing.* exclude (sales_date, currency, transactions)
        from {{ this }} as standing
        left join recounted
            on standing.sales_date = recounted.dt and standing.currency = recounted.currency
        where standing.sales_date in (select dt from gained)
    ) as contributions
    group by dt, currency
    {% else %}
    select * from totals
    {% endif %}

)

select
    days.dt as sales_date,
    sums.currency,
    sums.transactions,
    sums.lines,
    sums.purchase_lines,
    sums.return_lines,
    sums.units_sold,
    sums.units_returned,
    sums.gross_sales,
    sums.discounts,
    sums.returns,
    sums.net_sales,
    sums.tax,
    {{ divide('sums.gross_sales - sums.discounts', 'sums.transactions') }}
        as average_order_value,
    {{ divide('sums.units_sold', 'sums.transactions') }} as units_per_transaction,
    sums.load_seq
from days
left join sums on days.dt = sums.dt
