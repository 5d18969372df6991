-- Marts whose lines, units, net sales or tax, over all days, differ from silver's in a currency.
{%- set marts = [
    'sales_hourly', 'sales_daily_store', 'sales_daily_product', 'sales_daily_category'
] %}
with

silver as (

    select * from {{ ref('silver') }}

),

{% for mart in marts -%}
{{ mart }} as (

    select * from {{ ref(mart) }}

),

{% endfor -%}
of_silver as (

    select
        currency,
        count(*) as lines,
        sum(signed_quantity) as units,
        sum(net_amount) as net_sales,
        sum(net_tax_amount) as tax
    from silver
    group by currency

),

of_marts as (

    {% for mart in marts %}
    select
        '{{ mart }}' as mart,
        currency,
        sum(lines) as lines,
        sum(units_sold) - sum(units_returned) as units,
        sum(net_sales) as net_sales,
        sum(tax) as tax
    from {{ mart }}
    group by currency
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    of_marts.mart,
    coalesce(of_silver.currency, of_marts.currency) as currency,
    of_silver.net_sales as silver_net_sales,
    of_marts.net_sales
from of_silver
full outer join of_marts on of_silver.currency = of_marts.currency
where of_silver.currency is null
    or of_marts.currency is null
    or of_silver.lines <> of_marts.lines
    or of_silver.units <> of_marts.units
    or of_silver.net_sales <> of_marts.net_sales
    or of_silver.tax <> of_marts.tax
