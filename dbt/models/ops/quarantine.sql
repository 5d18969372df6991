with

staged as (

    select * from {{ source('staging', 'quarantine') }}

)

select * from staged
