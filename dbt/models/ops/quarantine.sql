with

staged as (

    select * from {{ source('staging', 'quarantine') }}

),

superseded as (

    select * from {{ source('staging', 'superseded') }}

),

counted as (

    {{ current_rows('staged') }}

)

select * from counted
