select
    coalesce(customer_id, '(guest)') as customer_id,
    customer_id is null as is_guest,
    min(ts) as first_seen_at,
    max(ts) as last_seen_at,
    min(case when not is_return then ts end) as first_purchase_at,
    cast(max(load_seq) as bigint) as load_seq
from {{ ref('silver') }}
group by customer_id

union all

select '(guest)', true, null, null, null, cast(0 as bigint)
from (select count(*) as guests from {{ ref('silver') }} where customer_id is null) as counted
where guests = 0
