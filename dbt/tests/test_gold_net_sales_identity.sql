-- Days and currencies where net sales is not gross sales - discounts - returns.
with

gold as (

    select * from {{ ref('gold') }}

)

select sales_date, currency, gross_sales, discounts, returns, net_sales
from gold
where net_sales <> gross_sales - discounts - returns
