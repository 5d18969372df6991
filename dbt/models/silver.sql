with

bronze as {{ inlined() }} (

    select * from {{ ref('bronze') }}

),

purchases as (

    select * from {{ source('staging', 'purchases') }}

),

superseded as (

    select * from {{ source('staging', 'superseded') }}

),

{% if is_incremental() %}
-- Events of raw objects that were rewritten since: of all their copies one is chosen again.
withdrawn as {{ materialized() }} (

    select distinct event_id
    from (
        {{ withdrawn_events(this) }}
    ) as events

),
{% endif %}

arrived as (

    select * from bronze
    {% if is_incremental() %}
    where load_seq > {{ watermark(this) }}
    union all
    select * from bronze
    where load_seq <= {{ watermark(this, if_any='withdrawn') }}
        and event_id in (select event_id from withdrawn)
    {% endif %}

),

batch as (

    select
        *,
        {{ text_key('event_id') }} as event_key,
        {{ bucket(text_key('event_id')) }} as event_bucket
    from arrived

),

{% if not is_incremental() %}
-- In a whole history only the events whose hash repeats are deduplicated: a window over all rows
-- would take twice as long and much more memory. Two events may share a hash: event_id decides.
copied as (

    select hash(event_id) as event_hash from batch group by hash(event_id) having count(*) > 1

),
{% endif %}

-- Of the copies of an event, the last correction of the producer is kept, else the one that arrived
-- first, not the one loaded first.
chosen as (

    select
        *,
        min(load_seq) over (partition by event_id) as first_load_seq
    from batch
    {% if not is_incremental() %}
    where hash(event_id) in (select event_hash from copied)
    {% endif %}
    qualify row_number() over (
        partition by event_id order by {{ order_of_copies() }}, load_seq
    ) = 1

),

{% if is_incremental() %}
-- History is filtered by numbers only, the shorter one first. So the cost hardly grows with
-- history, and a copy on another day is found too.
hits as {{ materialized() }} (

    select dt, event_key
    from {{ this }}
    where event_bucket in (select event_bucket from chosen)
        and event_key in (select event_key from chosen)

),

-- Two events may share a key: event_id decides. The days of the hits let an engine skip the rest of
-- history.
known as {{ materialized() }} (

    select event_id, corrected_at, ingested_at, source_file, source_line, first_load_seq
    from {{ this }}
    where dt in (select dt from hits) and event_key in (select event_key from hits)
        and event_id not in (select event_id from withdrawn)

),

kept as (

    select
        chosen.* exclude (first_load_seq),
        case
            when known.first_load_seq < chosen.first_load_seq then known.first_load_seq
            else chosen.first_load_seq
        end as first_load_seq
    from chosen
    left join known on chosen.event_id = known.event_id
    where known.event_id is null
        or {{ comes_before('chosen', 'known') }}

),
{% else %}
kept as (

    select *, load_seq as first_load_seq
    from batch
    where hash(event_id) not in (select event_hash from copied)
    union all
    select * from chosen

),
{% endif %}

signed as (

    select
        *,
        event_type = 'return' as is_return,
        cast(case when event_type = 'return' then -1 else 1 end as integer) as direction
    from kept

),

-- The fields of the contract pass as they are; schema.yml names them, and dbt compares the two.
lines as (

    select
        * exclude (bronze_id, bronze_file, direction),
        {{ rounded('price * ' ~ wide_quantity('quantity'), 11, 'decimal(38,6)') }} as list_amount,
        cast(total_amount + discount_amount as decimal(20,4)) as gross_amount,
        cast(direction * quantity as decimal(18,5)) as signed_quantity,
        cast(direction * total_amount as decimal(20,4)) as net_amount,
        cast(direction * tax_amount as decimal(20,4)) as net_tax_amount
    from signed

)

select * from lines
{% if is_incremental() %}
union all
-- A row with nothing but the key deletes the copy that was kept so far.
select
    withdrawn.event_id,
    lines.* exclude (event_id)
from withdrawn
left join lines on false
{% endif %}
