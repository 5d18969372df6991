with

baskets as (

    select * from {{ ref('fct_basket') }}

),

activity as (

    select distinct
        customer_id,
        cast({{ dbt.date_trunc('month', 'sales_date') }} as date) as active_month
    from baskets
    where customer_id <> {{ guest() }}

),

cohorts as (

    select
        customer_id,
        min(active_month) as cohort_month
    from activity
    group by customer_id

),

sizes as (

    select
        cohort_month,
        cast(count(*) as bigint) as cohort_size
    from cohorts
    group by cohort_month

),

active as (

    select
        cohorts.cohort_month,
        cast({{ dbt.datediff('cohorts.cohort_month', 'activity.active_month', 'month') }} as bigint)
            as months_since,
        cast(count(*) as bigint) as active_customers
    from activity
    inner join cohorts on activity.customer_id = cohorts.customer_id
    group by 1, 2

)

select
    active.cohort_month,
    active.months_since,
    sizes.cohort_size,
    active.active_customers,
    {{ divide('active.active_customers', 'sizes.cohort_size', 6) }} as retention_rate
from active
inner join sizes on active.cohort_month = sizes.cohort_month
