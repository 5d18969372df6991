with

baskets as {{ inlined() }} (

    select * from {{ ref('fct_basket') }}

),

clock as (

    select * from {{ ref('sales_clock') }}

),

customers as (

    select
        customer_id,
        min(sales_date) as first_sales_date,
        max(sales_date) as last_sales_date,
        cast(count(*) as bigint) as baskets,
        cast(sum(units_sold) as decimal(38,5)) as units_sold,
        cast(sum(reporting_basket_value) as decimal(38,4)) as basket_value
    from baskets
    where customer_id <> {{ guest() }}
        and sales_date <= (select last_date from clock)
    group by customer_id

),

scored as (

    select
        customers.*,
        clock.last_date,
        cast({{ dbt.datediff('customers.last_sales_date', 'clock.last_date', 'day') }} as bigint)
            as recency_days,
        cast(ntile(5) over (order by customers.last_sales_date, customers.customer_id) as integer)
            as recency_score,
        cast(ntile(5) over (order by customers.baskets, customers.customer_id) as integer)
            as frequency_score,
        cast(ntile(5) over (
            order by customers.basket_value nulls first, customers.customer_id
        ) as integer) as monetary_score
    from customers
    cross join clock

)

select
    last_date as as_of,
    customer_id,
    first_sales_date,
    last_sales_date,
    recency_days,
    baskets,
    units_sold,
    basket_value,
    baskets > 1 as is_repeat,
    recency_score,
    frequency_score,
    monetary_score,
    case
        when recency_score >= 4 and frequency_score >= 4 then 'champion'
        when frequency_score >= 4 then 'at risk'
        when recency_score >= 4 and frequency_score <= 2 then 'new'
        when recency_score <= 2 and frequency_score <= 2 then 'lost'
        else 'regular'
    end as segment
from scored
