with

staged as (

    select * from {{ source('staging', 'receipts') }}

),

superseded as (

    select * from {{ source('staging', 'superseded') }}

),

counted as (

    {{ current_rows('staged', 'modified_at') }}

)

select * from counted
