-- Rows of the marts where net sales is not gross sales - discounts - returns, in either currency.
{%- set marts = ['fct_sales_line', 'sales_hourly', 'sales_daily_product'] %}
with

{% for mart in marts -%}
{{ mart }} as (

    select * from {{ ref(mart) }}

){{ ',\n\n' if not loop.last }}
{%- endfor %}

{% for mart in marts %}
select '{{ mart }}' as mart, sales_date, currency, gross_sales, discounts, returns, net_sales
from {{ mart }}
where net_sales <> gross_sales - discounts - returns
    or reporting_net_sales <> reporting_gross_sales - reporting_discounts - reporting_returns
{{ 'union all' if not loop.last }}
{% endfor %}
