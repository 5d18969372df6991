-- Events of which silver kept a copy that should not count: another one in bronze is a later
-- correction, or arrived before it.
with

bronze as (

    select * from {{ ref('bronze') }}

),

silver as (

    select * from {{ ref('silver') }}

)

select
    copies.event_id,
    copies.source_file,
    copies.source_line,
    kept.source_file as kept_source_file,
    kept.source_line as kept_source_line
from bronze as copies
inner join silver as kept on copies.event_id = kept.event_id
where {{ comes_before('copies', 'kept') }}
