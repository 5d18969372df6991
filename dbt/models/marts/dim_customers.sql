with

silver as {{ inlined() }} (

    select * from {{ ref('silver') }}

),

customers as (

    select
        coalesce(customer_id, {{ guest() }}) as customer_id,
        customer_id is null as is_guest,
        min(ts) as first_seen_at,
        max(ts) as last_seen_at,
        min(case when not is_return then ts end) as first_purchase_at,
        cast(max(load_seq) as bigint) as load_seq
    from silver
    group by customer_id

),

-- The member for guests is there even when every sale has a customer.
guests as (

    select count(*) as guests from silver where customer_id is null

)

select * from customers

union all

select {{ guest() }}, true, null, null, null, cast(0 as bigint)
from guests
where guests = 0
