-- Events of bronze that silver lacks.
select bronze.event_id, bronze.source_file, bronze.source_line
from {{ ref('bronze') }} as bronze
left join {{ ref('silver') }} as silver on bronze.event_id = silver.event_id
where silver.event_id is null
