{{ config(incremental_strategy='replace_keys', unique_key='currency', tmp_relation_type='table') }}

-- Rates are few: an increment works all of them out anew.
with sold as (

    select
        currency,
        min(load_seq) as load_seq
    from {{ ref('bronze') }}
    group by currency

),

-- What is set counts; else the only currency that is sold in; else USD. The choice is as new as the
-- load or the setting that made it: so new is every rate then, and whatever was converted is converted anew.
chosen as (

    select
        coalesce(settings.reporting_currency, only_sold.currency) as currency,
        case
            when settings.reporting_currency is not null or settings.load_seq > only_sold.load_seq
                then settings.load_seq
            else only_sold.load_seq
        end as load_seq
    from {{ ref('reporting_settings') }} as settings
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

rates as (

    select
        rates.*,
        chosen.load_seq as chosen_seq
    from {{ source('staging', 'fx_rates') }} as rates
    inner join chosen on rates.reporting_currency = chosen.currency and rates.currency <> chosen.currency
    qualify row_number() over (
        partition by rates.currency, rates.ts
        order by rates.ingested_at desc, rates.source_file desc, rates.source_line desc, rates.load_seq desc
    ) = 1

),

valid as (

    select
        currency,
        ts as valid_from,
        coalesce(
            lead(ts) over (partition by currency order by ts), cast('2200-01-01' as timestamp)
        ) as valid_to,
        reporting_currency,
        rate,
        cast(case when load_seq > chosen_seq then load_seq else chosen_seq end as bigint) as load_seq
    from rates

    union all

    select
        currency,
        cast('1970-01-01' as timestamp),
        cast('2200-01-01' as timestamp),
        currency,
        cast(1 as decimal(18,8)),
        load_seq
    from chosen

)

select * from valid
{% if is_incremental() %}
union all
-- Currencies that have no rate any more: only their key, so that they are deleted.
select left_behind.currency, valid.* exclude (currency)
from (select distinct currency from {{ this }} where currency not in (select currency from valid)) as left_behind
left join valid on false
{% endif %}
