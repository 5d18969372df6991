-- Lines of silver whose total_amount is not price x quantity - discount_amount, within the
-- tolerance of the contract: a cent, or a whole unit of a currency without cents, and the rounding
-- of a unit price to six decimals.
with

silver as (

    select * from {{ ref('silver') }}

)

select
    event_id,
    source_file,
    source_line,
    price,
    quantity,
    discount_amount,
    total_amount,
    price * {{ wide_quantity('quantity') }} - discount_amount as expected_amount
from silver
where {{ off_total() }}
    or total_amount is null
