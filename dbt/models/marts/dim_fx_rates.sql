with

bronze as (

    select * from {{ ref('bronze') }}

),

fx_rates as (

    select * from {{ source('staging', 'fx_rates') }}

),

settings as (

    select * from {{ ref('reporting_settings') }}

),

sold as (

    select
        currency,
        min(load_seq) as load_seq
    from bronze
    group by currency

),

-- The reporting currency: the one that is set, else the only one that is sold in, else USD. When a
-- setting or a second currency changes the choice, every rate becomes as new as the setting, or the
-- load that brought it, so that all amounts are converted again.
chosen as (

    select
        coalesce(settings.reporting_currency, only_sold.currency) as currency,
        case
            when settings.reporting_currency is not null or settings.load_seq > only_sold.load_seq
                then settings.load_seq
            else only_sold.load_seq
        end as load_seq
    from settings
    cross join (
        select
            case when count(*) = 1 then min(currency) else 'USD' end as currency,
            cast(coalesce(max(case when place <= 2 then load_seq end), 0) as bigint) as load_seq
        from (
            select *, row_number() over (order by load_seq, currency) as place
            from sold
        ) as placed
    ) as only_sold

),

-- Of several rates of the same time the last arrival counts.
rates as (

    select
        fx_rates.*,
        chosen.load_seq as chosen_seq
    from fx_rates
    inner join chosen
        on fx_rates.reporting_currency = chosen.currency
        and fx_rates.currency <> chosen.currency
    qualify row_number() over (
        partition by fx_rates.currency, fx_rates.ts
        order by
            fx_rates.ingested_at desc,
            fx_rates.source_file desc,
            fx_rates.source_line desc,
            fx_rates.load_seq desc
    ) = 1

),

valid as (

    select
        currency,
        ts as valid_from,
        coalesce(
            lead(ts) over (partition by currency order by ts), {{ end_of_time() }}
        ) as valid_to,
        reporting_currency,
        rate,
        cast(case when load_seq > chosen_seq then load_seq else chosen_seq end as bigint)
            as load_seq
    from rates

    union all

    select
        currency,
        {{ beginning_of_time() }},
        {{ end_of_time() }},
        currency,
        cast(1 as decimal(18,8)),
        load_seq
    from chosen

)

-- Rates are few: an increment computes all of them anew.
select * from valid
{% if is_incremental() %}
union all
-- Currencies that no longer have a rate: a row with nothing but the key deletes them.
select left_behind.currency, valid.* exclude (currency)
from (
    select distinct currency from {{ this }} where currency not in (select currency from valid)
) as left_behind
left join valid on false
{% endif %}
