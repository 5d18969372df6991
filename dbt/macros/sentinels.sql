{#- Values that stand for something absent, from the vars of dbt_project.yml, as SQL literals. -#}

{% macro unknown() %}'{{ var('unknown_member') }}'{% endmacro %}

{% macro guest() %}'{{ var('guest_member') }}'{% endmacro %}

{% macro beginning_of_time() %}cast('{{ var('beginning_of_time') }}' as timestamp){% endmacro %}

{% macro end_of_time() %}cast('{{ var('end_of_time') }}' as timestamp){% endmacro %}

{#- Texts, in lower case, by which programs write that there is no value. -#}
{% macro words_for_absence() %}('null', 'none', 'nan', 'undefined'){% endmacro %}
