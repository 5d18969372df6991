with

staged as (

    select * from {{ source('staging', 'receipts') }}

)

select * from staged
