with

bronze as (

    select * from {{ ref('bronze') }}

),

feed as (

    select * from {{ source('staging', 'fx_rates') }}

),

purchases as (

    select * from {{ source('staging', 'purchases') }}

),

superseded as (

    select * from {{ source('staging', 'superseded') }}

),

settings as (

    select * from {{ ref('reporting_settings') }}

),

fx_rates as (

    {{ current_rows('feed') }}

),

-- Currencies of rates in superseded versions of raw objects: their rates are as new as the newer
-- version.
withdrawn as (

    select currency, max(withdrawn_seq) as withdrawn_seq
    from (
        {{ withdrawn_rows('feed', ['currency']) }}
    ) as rates_before
    group by currency

),

sold as (

    select
        currency,
        min(load_seq) as load_seq
    from bronze
    group by currency

),

rated as (

    select
        currency,
        min(load_seq) as load_seq
    from fx_rates
    group by currency

),

-- The newest load that took away the last sale in a currency, or its last rate. A currency that
-- came back later counts too: what was converted without it is converted again.
left_currencies as (

    select max(lost.withdrawn_seq) as load_seq
    from (
        select sales_before.withdrawn_seq, sold.load_seq as back_seq
        from (
            {{ withdrawn_rows('purchases', ['currency']) }}
        ) as sales_before
        left join sold on sales_before.currency = sold.currency
        union all
        select withdrawn.withdrawn_seq, rated.load_seq
        from withdrawn
        left join rated on withdrawn.currency = rated.currency
    ) as lost
    where lost.back_seq is null or lost.back_seq > lost.withdrawn_seq

),

-- The reporting currency: the one that is set, else the only one that is sold in, else USD. When a
-- setting or a second currency changes the choice, every rate becomes as new as the setting, or the
-- load that brought it, so that all amounts are converted again; so it does where a currency went.
choice as (

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

chosen as (

    select
        choice.currency,
        case
            when left_currencies.load_seq > choice.load_seq then left_currencies.load_seq
            else choice.load_seq
        end as load_seq
    from choice
    cross join left_currencies

),

latest as (

    {{ latest_descriptions('fx_rates', ['currency', 'reporting_currency', 'ts'], ['rate']) }}

),

rates as (

    select
        latest.*,
        case
            when withdrawn.withdrawn_seq > chosen.load_seq then withdrawn.withdrawn_seq
            else chosen.load_seq
        end as chosen_seq
    from latest
    inner join chosen
        on latest.reporting_currency = chosen.currency
        and latest.currency <> chosen.currency
    left join withdrawn on latest.currency = withdrawn.currency

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
