-- Lines of silver whose total_amount is not price x quantity - discount_amount, within the
-- tolerance of the contract: a cent, and the rounding of a unit price to six decimals.
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
    price * quantity - discount_amount as expected_amount
from silver
where abs(total_amount - (price * quantity - discount_amount)) > 0.01 + 0.0000005 * quantity
    or total_amount is null
