with

purchases as (

    select * from {{ source('staging', 'purchases') }}

)

select
    cast(source_file || ':' || source_line as varchar) as bronze_id,
    *
from purchases
