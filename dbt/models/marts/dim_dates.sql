{#- Days since a Sunday: 0 is Sunday, 6 is Saturday. -#}
{%- set weekday_of = "cast(mod(%s, 7) as integer)" -%}
{%- set sunday = "cast('1899-12-31' as date)" -%}
with

days as (

    -- From 1 January 2000 to 28 February 2051.
    select
        {{ dbt.dateadd('day', 'generated_number - 1', "cast('2000-01-01' as date)") }} as date_day
    from (
        {{ dbt.generate_series(18687) }}
    ) as series

),

calendar as (

    select
        cast(date_day as date) as date_day,
        cast(extract(year from date_day) as integer) as year_number
    from days

),

-- A retail year (4-5-4 calendar of the National Retail Federation) begins on the Sunday nearest to
-- 1 February. So every fifth or sixth year has 53 weeks.
february as (

    select
        year_number,
        min(date_day) as first_of_february,
        {{ weekday_of % dbt.datediff(sunday, 'min(date_day)', 'day') }} as weekday
    from calendar
    where extract(month from date_day) = 2
    group by year_number

),

retail_years as (

    select
        year_number as retail_year,
        cast({{ dbt.dateadd(
            'day', 'case when weekday <= 3 then -weekday else 7 - weekday end', 'first_of_february'
        ) }} as date) as starts_on
    from february

),

retail as (

    select
        calendar.date_day,
        calendar.year_number,
        retail_years.retail_year,
        retail_years.starts_on,
        cast(
            floor({{ dbt.datediff('retail_years.starts_on', 'calendar.date_day', 'day') }} / 7) + 1
            as integer
        ) as retail_week
    from calendar
    left join retail_years
        on calendar.date_day >= retail_years.starts_on
        and calendar.date_day
            < cast({{ dbt.dateadd('day', 371, 'retail_years.starts_on') }} as date)
    qualify row_number() over (
        partition by calendar.date_day order by retail_years.starts_on desc nulls last
    ) = 1

),

months as (

    select
        *,
        case when retail_week = 53 then 4 else cast(ceil(retail_week / 13.0) as integer) end
            as retail_quarter
    from retail

),

placed as (

    select
        *,
        retail_week - (retail_quarter - 1) * 13 as week_of_quarter,
        cast(max(retail_week) over (partition by retail_year) as integer) as weeks_in_retail_year
    from months

)

select
    date_day,
    cast(year_number as integer) as year_number,
    cast(extract(quarter from date_day) as integer) as quarter_number,
    cast(extract(month from date_day) as integer) as month_number,
    cast(extract(day from date_day) as integer) as day_of_month,
    {{ weekday_of % dbt.datediff(sunday, 'date_day', 'day') }} + 1 as day_of_week,
    {{ weekday_of % dbt.datediff(sunday, 'date_day', 'day') }} in (0, 6) as is_weekend,
    cast({{ dbt.date_trunc('month', 'date_day') }} as date) as month_start,
    cast({{ dbt.date_trunc('quarter', 'date_day') }} as date) as quarter_start,
    cast(retail_year as integer) as retail_year,
    cast(retail_quarter as integer) as retail_quarter,
    cast(
        (retail_quarter - 1) * 3
        + case when week_of_quarter <= 4 then 1 when week_of_quarter <= 9 then 2 else 3 end
        as integer
    ) as retail_month,
    cast(retail_week as integer) as retail_week,
    starts_on as retail_year_start,
    cast(case when retail_year is not null then weeks_in_retail_year end as integer)
        as weeks_in_retail_year
from placed
-- The spine goes on for another year, so that the length of the last retail year is known.
where date_day < cast('2050-01-01' as date)
