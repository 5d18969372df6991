{{ config(alias='purchases_bronze') }}

select
    cast(source_file || ':' || source_line as varchar) as bronze_id,
    *
from {{ source('staging', 'purchases') }}
