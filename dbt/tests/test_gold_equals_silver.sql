-- Days and currencies where gold differs from silver by a line, a unit or the last digit of money.
with

silver as (

    select * from {{ ref('silver') }}

),

gold as (

    select * from {{ ref('gold') }}

),

silver_days as (

    select
        dt as sales_date,
        currency,
        count(*) as lines,
        sum(signed_quantity) as units,
        sum(net_amount) as net_sales,
        sum(net_tax_amount) as tax
    from silver
    group by dt, currency

)

select
    coalesce(silver_days.sales_date, gold.sales_date) as sales_date,
    coalesce(silver_days.currency, gold.currency) as currency,
    silver_days.lines as silver_lines,
    gold.lines as gold_lines,
    silver_days.net_sales as silver_net_sales,
    gold.net_sales as gold_net_sales
from silver_days
full outer join gold
    on silver_days.sales_date = gold.sales_date and silver_days.currency = gold.currency
where silver_days.sales_date is null
    or gold.sales_date is null
    or silver_days.lines <> gold.lines
    or silver_days.units <> gold.units_sold - gold.units_returned
    or silver_days.net_sales <> gold.net_sales
    or silver_days.tax <> gold.tax
