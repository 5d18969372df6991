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

days as (

    {% if is_incremental() %}
    {{ changed_days(this) }}
    {% else %}
    select distinct dt from silver
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
    from silver
    {% if is_incremental() %}
    where dt in (select dt from days)
    {% endif %}
    group by dt, currency

)

select
    days.dt as sales_date,
    totals.currency,
    totals.transactions,
    totals.lines,
    totals.purchase_lines,
    totals.return_lines,
    totals.units_sold,
    totals.units_returned,
    totals.gross_sales,
    totals.discounts,
    totals.returns,
    totals.net_sales,
    totals.tax,
    {{ divide('totals.gross_sales - totals.discounts', 'totals.transactions') }}
        as average_order_value,
    {{ divide('totals.units_sold', 'totals.transactions') }} as units_per_transaction,
    totals.load_seq
from days
left join totals on days.dt = totals.dt
