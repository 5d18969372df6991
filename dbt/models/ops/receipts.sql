select * from {{ source('staging', 'receipts') }}
