-- Days where net sales is not gross sales - discounts - returns.
select sales_date, currency, gross_sales, discounts, returns, net_sales
from {{ ref('gold') }}
where net_sales <> gross_sales - discounts - returns
