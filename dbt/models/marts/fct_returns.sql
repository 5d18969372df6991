with

sales_lines as (

    select * from {{ ref('fct_sales_line') }}

),

silver as (

    select * from {{ ref('silver') }}

),

returned as (

    select
        *,
        sum(quantity) over (partition by original_event_id order by ts, event_id) as returned_so_far
    from sales_lines
    where is_return

)

select
    returned.event_id,
    returned.ts,
    returned.utc_date,
    returned.sales_date,
    returned.store_id,
    returned.product_id,
    returned.customer_id,
    returned.basket_id,
    returned.currency,
    cast(returned.quantity as decimal(18,5)) as quantity,
    returned.returns,
    returned.reporting_returns,
    returned.original_event_id,
    returned.return_reason,
    case
        when returned.original_event_id is null then 'not stated'
        when bought.event_id is null then 'not found'
        when bought.ts > returned.ts then 'before purchase'
        when returned.returned_so_far > bought.quantity then 'more than bought'
        else 'linked'
    end as link,
    bought.ts as bought_at,
    bought.dt as bought_utc_date,
    bought.store_id as bought_store_id,
    cast({{ dbt.datediff('bought.dt', 'returned.utc_date', 'day') }} as bigint) as days_kept,
    returned.load_seq
from returned
left join silver as bought
    on returned.original_event_id = bought.event_id and not bought.is_return
