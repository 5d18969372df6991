-- Days and currencies where gold differs from silver by a line, a unit or the last digit of money.
with silver as (

    select
        dt as sales_date,
        currency,
        count(*) as lines,
        sum(signed_quantity) as units,
        sum(net_amount) as net_sales,
        sum(net_tax_amount) as tax
    from {{ ref('silver') }}
    group by dt, currency

)

select
    coalesce(silver.sales_date, gold.sales_date) as sales_date,
    coalesce(silver.currency, gold.currency) as currency,
    silver.lines as silver_lines,
    gold.lines as gold_lines,
    silver.net_sales as silver_net_sales,
    gold.net_sales as gold_net_sales
from silver
full outer join {{ ref('gold') }} as gold
    on silver.sales_date = gold.sales_date and silver.currency = gold.currency
where silver.sales_date is null
    or gold.sales_date is null
    or silver.lines <> gold.lines
    or silver.units <> gold.units_sold - gold.units_returned
    or silver.net_sales <> gold.net_sales
    or silver.tax <> gold.tax
