{#- Lines of silver with everything that belongs to them: local time, product version, cost, and the
    amounts in the reporting currency. An amount of a line that would not fit the contract's money
    (14 digits before the point) is unknown: no rate applies to such a line, or its cost is not
    known. So whatever the contract accepts, every sum fits. `silver` names the CTE that holds the
    lines: silver, or a part of it, so that only this part is joined. Reads products, stores and
    rates. -#}
{% macro sales_lines(silver='silver') -%}
{%- set sold = 'case when is_return then 0 else gross_amount end' -%}
{%- set paid_back = 'case when is_return then total_amount else 0 end' -%}
with lines as (

    select
        silver.*,
        coalesce(stores.time_zone, 'UTC') as time_zone,
        {{ local_time('silver.ts', 'stores.time_zone') }} as local_ts,
        products.product_name,
        products.brand,
        case when products.is_described then products.category end as product_category,
        products.department,
        products.price as list_price,
        products.currency as cost_currency,
        {{ if_money(
            'products.cost * ' ~ wide_quantity('silver.signed_quantity'), 11, 'decimal(20,6)'
        ) }} as cost_in_its_currency,
        nullif(
            case when products.currency = silver.currency then rates.rate else cost_rates.rate end,
            0
        ) as cost_rate,
        coalesce(products.is_described, false) as is_product_known,
        coalesce(stores.is_described, false) as is_store_known,
        case
            when rates.rate > 0
                and {{ is_money(wide('rates.rate') ~ ' * silver.gross_amount') }}
                and {{ is_money(wide('rates.rate') ~ ' * silver.net_amount') }}
                and {{ is_money(wide('rates.rate') ~ ' * silver.net_tax_amount') }}
                then {{ wide('rates.rate') }}
        end as fx_rate,
        case when products.is_described then products.load_seq end as product_seq,
        stores.load_seq as store_seq,
        case
            when cost_rates.load_seq > coalesce(rates.load_seq, 0) then cost_rates.load_seq
            else coalesce(
                rates.load_seq,
                (
                    select max(load_seq) from rates
                    where currency = reporting_currency
                )
            )
        end as rate_seq
    from {{ silver }}{{ ' as silver' if silver != 'silver' }}
    left join products
        on silver.product_id = products.product_id
        and silver.ts >= products.valid_from
        and silver.ts < products.valid_to
    left join stores
        on silver.store_id = stores.store_id
    left join rates
        on silver.currency = rates.currency
        and silver.ts >= rates.valid_from
        and silver.ts < rates.valid_to
    left join rates as cost_rates
        on products.currency = cost_rates.currency
        and silver.ts >= cost_rates.valid_from
        and silver.ts < cost_rates.valid_to

),

-- A cost in another currency than the sale's is converted by way of the reporting currency. All
-- digits of the rates count.
converted as (

    select
        *,
        case
            when fx_rate is not null
                then {{ if_money('cost_rate * cost_in_its_currency', 14, 'decimal(28,12)') }}
        end as reporting_cost
    from lines

),

costed as (

    select
        *,
        case
            when reporting_cost is null then null
            when cost_currency = currency
                then {{ rounded('cost_in_its_currency', 6, 'decimal(38,4)') }}
            else {{ by_rate('reporting_cost', 'fx_rate') }}
        end as cost_amount
    from converted

),

known as (

    select
        *,
        coalesce({{ is_money('cost_amount') }}, false) as is_cost_known
    from costed

)

select
    event_id,
    event_type,
    is_return,
    ts,
    dt as utc_date,
    local_ts,
    cast(local_ts as date) as sales_date,
    cast(extract(hour from local_ts) as integer) as sales_hour,
    time_zone,
    store_id,
    product_id,
    coalesce(customer_id, {{ guest() }}) as customer_id,
    basket_id,
    cast(
        cast(cast(local_ts as date) as varchar) || ':' || {{ basket_of_store() }} as varchar
    ) as basket_key,
    payment_method,
    channel,
    category as till_category,
    coalesce(product_name, product_id) as product_name,
    coalesce(brand, {{ unknown() }}) as brand,
    coalesce(nullif(product_category, {{ unknown() }}), category, {{ unknown() }}) as category,
    coalesce(department, {{ unknown() }}) as department,
    list_price,
    cost_currency,
    price,
    quantity,
    signed_quantity,
    currency,
    cast(case when is_return then 0 else quantity end as decimal(18,5)) as units_sold,
    cast(case when is_return then quantity else 0 end as decimal(18,5)) as units_returned,
    cast({{ sold }} as decimal(20,4)) as gross_sales,
    cast(case when is_return then 0 else discount_amount end as decimal(20,4)) as discounts,
    cast({{ paid_back }} as decimal(20,4)) as returns,
    net_amount as net_sales,
    net_tax_amount as tax,
    cast(case when is_cost_known then cost_amount end as decimal(20,4)) as cost_of_sales,
    cast(case when is_cost_known then net_amount end as decimal(20,4))
        as costed_net_sales,
    cast(fx_rate as decimal(18,8)) as fx_rate,
    {{ times_rate('fx_rate', sold) }} as reporting_gross_sales,
    {{ times_rate('fx_rate', sold) }}
        - {{ times_rate('fx_rate', paid_back) }}
        - {{ times_rate('fx_rate', 'net_amount') }} as reporting_discounts,
    {{ times_rate('fx_rate', paid_back) }} as reporting_returns,
    {{ times_rate('fx_rate', 'net_amount') }} as reporting_net_sales,
    {{ times_rate('fx_rate', 'net_tax_amount') }} as reporting_tax,
    case when is_cost_known then {{ rounded('reporting_cost', 12, 'decimal(20,4)') }} end
        as reporting_cost_of_sales,
    case when is_cost_known then {{ times_rate('fx_rate', 'net_amount') }} end
        as reporting_costed_net_sales,
    is_product_known,
    is_store_known,
    original_event_id,
    return_reason,
    source_file,
    source_line,
    ingested_at,
    load_seq,
    product_seq,
    store_seq,
    rate_seq
from known
{%- endmacro %}

{#- A rate or a quantity as a factor. DuckDB multiplies two decimals of 18 digits in 18 digits. -#}
{% macro wide(rate) %}cast({{ rate }} as decimal(20,8)){% endmacro %}

{% macro wide_quantity(quantity) %}cast({{ quantity }} as decimal(20,5)){% endmacro %}

{#- Whether an amount of a line is one that the contract can hold as money. -#}
{% macro is_money(amount) %}abs({{ amount }}) < 100000000000000{% endmacro %}

{#- An amount of a line, which has `scale` digits after the point, as `type`, or NULL where the
    contract cannot hold it as money. -#}
{% macro if_money(amount, scale, type) -%}
case when {{ is_money(amount) }} then {{ rounded(amount, scale, type) }} end
{%- endmacro %}
