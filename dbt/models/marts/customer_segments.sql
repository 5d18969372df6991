with

customers as (

    select * from {{ ref('customer_rfm') }}

)

select
    as_of,
    segment,
    recency_score,
    frequency_score,
    monetary_score,
    cast(count(*) as bigint) as customers,
    cast(sum(case when is_repeat then 1 else 0 end) as bigint) as repeat_customers,
    cast(sum(baskets) as bigint) as baskets,
    cast(sum(basket_value) as decimal(38,4)) as basket_value
from customers
group by as_of, segment, recency_score, frequency_score, monetary_score
