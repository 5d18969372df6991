-- Hours of a store whose baskets, lines or amounts in sales_hourly are not those of the lines. A
-- basket counts in the hour of its first purchase line.
with

marts as (

    select * from {{ ref('sales_hourly') }}

),

lines as (

    select * from {{ ref('fct_sales_line') }}

),

baskets as (

    select
        sales_date,
        store_id,
        currency,
        basket_id,
        min(sales_hour) as sales_hour
    from lines
    where not is_return
    group by sales_date, store_id, currency, basket_id

),

transactions as (

    select sales_date, sales_hour, store_id, currency, count(*) as transactions
    from baskets
    group by sales_date, sales_hour, store_id, currency

),

hours as (

    select
        sales_date,
        sales_hour,
        store_id,
        currency,
        count(*) as lines,
        sum(net_sales) as net_sales,
        sum(reporting_net_sales) as reporting_net_sales,
        sum(reporting_cost_of_sales) as reporting_cost_of_sales
    from lines
    group by sales_date, sales_hour, store_id, currency

)

select
    coalesce(marts.sales_date, hours.sales_date) as sales_date,
    coalesce(marts.store_id, hours.store_id) as store_id,
    marts.transactions,
    transactions.transactions as baskets,
    marts.net_sales,
    hours.net_sales as net_sales_of_lines
from marts
full outer join hours
    on marts.sales_date = hours.sales_date
    and marts.sales_hour = hours.sales_hour
    and marts.store_id = hours.store_id
    and marts.currency = hours.currency
left join transactions
    on hours.sales_date = transactions.sales_date
    and hours.sales_hour = transactions.sales_hour
    and hours.store_id = transactions.store_id
    and hours.currency = transactions.currency
where marts.sales_date is null
    or hours.sales_date is null
    or marts.transactions <> coalesce(transactions.transactions, 0)
    or marts.lines <> hours.lines
    or marts.net_sales <> hours.net_sales
    or coalesce(marts.reporting_net_sales, 0) <> coalesce(hours.reporting_net_sales, 0)
    or coalesce(marts.reporting_cost_of_sales, 0) <> coalesce(hours.reporting_cost_of_sales, 0)
