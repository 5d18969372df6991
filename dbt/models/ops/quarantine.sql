select * from {{ source('staging', 'quarantine') }}
