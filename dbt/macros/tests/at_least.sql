{#- Rows whose value lies below `minimum`; NULL passes. -#}
{% test at_least(model, column_name, minimum) %}
select {{ column_name }} from {{ model }} where {{ column_name }} < {{ minimum }}
{% endtest %}
