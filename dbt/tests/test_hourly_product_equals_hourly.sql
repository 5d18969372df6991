-- Days of a store whose baskets, lines, units or reporting amounts differ between the two marts.
with

by_hour as (

    select * from {{ ref('sales_hourly') }}

),

by_product as (

    select * from {{ ref('sales_hourly_product') }}

),

hours as (

    select
        sales_date,
        store_id,
        sum(transactions) as transactions,
        sum(lines) as lines,
        sum(units_sold) as units_sold,
        sum(reporting_net_sales) as net_sales,
        sum(reporting_cost_of_sales) as cost_of_sales
    from by_hour
    group by sales_date, store_id

),

products as (

    select
        sales_date,
        store_id,
        sum(transactions) as transactions,
        sum(lines) as lines,
        sum(units_sold) as units_sold,
        sum(reporting_net_sales) as net_sales,
        sum(reporting_cost_of_sales) as cost_of_sales
    from by_product
    group by sales_date, store_id

)

select
    coalesce(hours.sales_date, products.sales_date) as sales_date,
    coalesce(hours.store_id, products.store_id) as store_id,
    hours.net_sales,
    products.net_sales as net_sales_of_products
from hours
full outer join products
    on hours.sales_date = products.sales_date
    and hours.store_id = products.store_id
where hours.sales_date is null
    or products.sales_date is null
    or hours.transactions <> products.transactions
    or hours.lines <> products.lines
    or hours.units_sold <> products.units_sold
    or coalesce(hours.net_sales, 0) <> coalesce(products.net_sales, 0)
    or coalesce(hours.cost_of_sales, 0) <> coalesce(products.cost_of_sales, 0)
