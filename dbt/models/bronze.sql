with

purchases as (

    select * from {{ source('staging', 'purchases') }}

)

select
    cast(source_file || ':' || source_line as varchar) as bronze_id,
    event_id,
    event_type,
    ts,
    store_id,
    product_id,
    customer_id,
    basket_id,
    category,
    payment_method,
    channel,
    currency,
    price,
    quantity,
    discount_amount,
    tax_amount,
    total_amount,
    original_event_id,
    schema_version,
    source_file,
    source_line,
    ingested_at,
    dt,
    bronze_file,
    load_seq,
    loaded_at
from purchases
