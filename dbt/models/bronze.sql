with

purchases as (

    select * from {{ source('staging', 'purchases') }}

),

superseded as (

    select * from {{ source('staging', 'superseded') }}

),

counted as (

    {{ current_rows('purchases') }}

)

select
    cast(source_file || ':' || source_line as varchar) as bronze_id,
    *
from counted
