-- Lines of silver whose total_amount is not price x quantity - discount_amount, within a cent plus
-- what rounding the unit price to six decimals can add (the contract's tolerance). None is right.
select
    event_id,
    source_file,
    source_line,
    price,
    quantity,
    discount_amount,
    total_amount,
    price * quantity - discount_amount as expected_amount
from {{ ref('silver') }}
where abs(total_amount - (price * quantity - discount_amount)) > 0.01 + 0.0000005 * quantity
    or total_amount is null
