-- Marts whose lines, units, net sales or tax, over all days, differ from silver's in a currency.
with silver as (

    select
        currency,
        count(*) as lines,
        sum(signed_quantity) as units,
        sum(net_amount) as net_sales,
        sum(net_tax_amount) as tax
    from {{ ref('silver') }}
    group by currency

),

marts as (

    {% for mart in ['sales_hourly', 'sales_daily_store', 'sales_daily_product', 'sales_daily_category'] %}
    select
        '{{ mart }}' as mart,
        currency,
        sum(lines) as lines,
        sum(units_sold) - sum(units_returned) as units,
        sum(net_sales) as net_sales,
        sum(tax) as tax
    from {{ ref(mart) }}
    group by currency
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    marts.mart,
    coalesce(silver.currency, marts.currency) as currency,
    silver.net_sales as silver_net_sales,
    marts.net_sales
from silver
full outer join marts on silver.currency = marts.currency
where silver.currency is null
    or marts.currency is null
    or silver.lines <> marts.lines
    or silver.units <> marts.units
    or silver.net_sales <> marts.net_sales
    or silver.tax <> marts.tax
