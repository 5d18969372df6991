with

sales_lines as (

    select * from {{ ref('fct_sales_line') }}

)

select
    sales_date,
    store_id,
    product_id,
    category,
    coalesce(return_reason, {{ unknown() }}) as return_reason,
    cast(count(*) as bigint) as lines,
    cast(sum(units_returned) as decimal(38,5)) as units_returned,
    cast(sum(reporting_returns) as decimal(38,4)) as reporting_returns,
    cast(sum(case when fx_rate is null then 1 else 0 end) as bigint) as unconverted_lines
from sales_lines
where is_return
group by sales_date, store_id, product_id, category, coalesce(return_reason, {{ unknown() }})
