with lines as (

    select
        silver.*,
        coalesce(stores.time_zone, 'UTC') as time_zone,
        case
            when coalesce(stores.time_zone, 'UTC') = 'UTC' then silver.ts
            else {{ to_local('silver.ts', 'stores.time_zone') }}
        end as local_ts,
        products.product_name,
        products.brand,
        products.category as product_category,
        products.department,
        products.price as list_price,
        case when products.currency = silver.currency then products.cost end as unit_cost,
        coalesce(products.is_described, false) as is_product_known,
        coalesce(stores.is_described, false) as is_store_known,
        rates.rate as fx_rate
    from {{ ref('silver') }} as silver
    left join {{ ref('dim_products') }} as products
        on silver.product_id = products.product_id
        and silver.ts >= products.valid_from
        and silver.ts < products.valid_to
    left join {{ ref('dim_stores') }} as stores
        on silver.store_id = stores.store_id
    left join {{ ref('dim_fx_rates') }} as rates
        on silver.currency = rates.currency
        and silver.ts >= rates.valid_from
        and silver.ts < rates.valid_to

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
    coalesce(customer_id, '(guest)') as customer_id,
    basket_id,
    payment_method,
    channel,
    category as till_category,
    coalesce(product_name, '(unknown)') as product_name,
    coalesce(brand, '(unknown)') as brand,
    coalesce(product_category, '(unknown)') as category,
    coalesce(department, '(unknown)') as department,
    list_price,
    price,
    quantity,
    signed_quantity,
    currency,
    cast(case when is_return then 0 else quantity end as bigint) as units_sold,
    cast(case when is_return then quantity else 0 end as bigint) as units_returned,
    cast(case when is_return then 0 else gross_amount end as decimal(20,4)) as gross_sales,
    cast(case when is_return then 0 else discount_amount end as decimal(20,4)) as discounts,
    cast(case when is_return then total_amount else 0 end as decimal(20,4)) as returns,
    net_amount as net_sales,
    net_tax_amount as tax,
    cast(round(unit_cost * signed_quantity, 4) as decimal(20,4)) as cost_of_sales,
    cast(case when unit_cost is not null then net_amount end as decimal(20,4)) as costed_net_sales,
    fx_rate,
    cast(round(fx_rate * case when is_return then 0 else gross_amount end, 4) as decimal(20,4))
        as reporting_gross_sales,
    cast(round(fx_rate * case when is_return then 0 else gross_amount end, 4) as decimal(20,4))
        - cast(round(fx_rate * case when is_return then total_amount else 0 end, 4) as decimal(20,4))
        - cast(round(fx_rate * net_amount, 4) as decimal(20,4)) as reporting_discounts,
    cast(round(fx_rate * case when is_return then total_amount else 0 end, 4) as decimal(20,4))
        as reporting_returns,
    cast(round(fx_rate * net_amount, 4) as decimal(20,4)) as reporting_net_sales,
    cast(round(fx_rate * net_tax_amount, 4) as decimal(20,4)) as reporting_tax,
    cast(round(fx_rate * unit_cost * signed_quantity, 4) as decimal(20,4)) as reporting_cost_of_sales,
    cast(case when unit_cost is not null then round(fx_rate * net_amount, 4) end as decimal(20,4))
        as reporting_costed_net_sales,
    is_product_known,
    is_store_known,
    original_event_id,
    source_file,
    source_line,
    ingested_at,
    load_seq
from lines
