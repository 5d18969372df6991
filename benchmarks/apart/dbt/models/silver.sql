-- One row per event, typed and checked. `purchases` is a table, or Parquet files.
with typed as (

    select
        event_id,
        event_type,
        cast(ts as timestamptz) at time zone 'UTC' as ts,
        store_id,
        product_id,
        customer_id,
        basket_id,
        category,
        payment_method,
        channel,
        currency,
        cast(price as decimal(18, 6)) as price,
        cast(quantity as decimal(18, 5)) as quantity,
        cast(discount_amount as decimal(18, 4)) as discount_amount,
        cast(tax_amount as decimal(18, 4)) as tax_amount,
        cast(total_amount as decimal(18, 4)) as total_amount,
        original_event_id
    from {{ var('purchases') }}

)

select *
from typed
where event_id is not null and ts is not null and price >= 0 and quantity > 0
qualify row_number() over (partition by event_id order by ts) = 1
