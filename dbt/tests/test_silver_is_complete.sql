-- Events of bronze that silver lacks.
with

bronze as (

    select * from {{ ref('bronze') }}

),

silver as (

    select * from {{ ref('silver') }}

)

select bronze.event_id, bronze.source_file, bronze.source_line
from bronze
left join silver on bronze.event_id = silver.event_id
where silver.event_id is null
