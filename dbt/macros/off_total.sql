{#- Written from src/medallion/contract.py by `python -m medallion.outputs.contract`.
    Whether the total of a line is further from its parts than the contract allows. -#}
{% macro off_total() -%}
abs(total_amount - (price * cast(quantity as decimal(20,5)) - discount_amount))
    > case when currency in (
        'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF',
        'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF', 'ADP', 'BYR', 'ESP',
        'ITL', 'LUF', 'MGF', 'MRO', 'SLL', 'STD', 'TMM', 'TRL', 'ZMK', 'ZWD'
    ) then 1 else 0.01 end + 0.0000005 * quantity
{%- endmacro %}
