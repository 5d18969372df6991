"""The catalog of producer faults, and the expected result of each.

A line with a fault that has a `reason` must be quarantined for that reason. A line with any other
fault must be accepted with unchanged amounts. Late events, future events and repeats are produced
where lines are drawn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any

from medallion.contract import MALFORMED, PURCHASES

Record = dict[str, str]
"""The fields of a line as JSON text, so that all but what a fault changes stays as it was."""
FIELD = re.compile(r'"(\w+)":("[^"]*"|[^,}]+)')
"""A field of a good line, whose values are never nested and have no escapes."""
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Fault:
    """A kind of fault, with the function that puts it into a good line without a line feed."""

    name: str
    spoil: Callable[[bytes, Random], bytes]
    reason: str | None = None


def parse(line: bytes) -> Record:
    """Return the fields of a good line."""
    return dict(FIELD.findall(line.decode()))


def write(record: Record, comma: str = ",", colon: str = ":") -> bytes:
    """Return a line of JSON."""
    fields = [f'"{name}"{colon}{text}' for name, text in record.items()]
    return f"{{{comma.join(fields)}}}".encode()


def as_json(value: Any) -> str:
    """Return the JSON text of a value."""
    return json.dumps(value, ensure_ascii=False)


def rewrite(change: Callable[[Record, Random], None]) -> Callable[[bytes, Random], bytes]:
    """Return a function that changes the fields of a line."""

    def spoil(line: bytes, chance: Random) -> bytes:
        record = parse(line)
        change(record, chance)
        return write(record)

    return spoil


def setting(name: str, *texts: str) -> Callable[[bytes, Random], bytes]:
    """Return a function that sets a field to one of some JSON texts."""
    return rewrite(lambda record, chance: record.update({name: chance.choice(texts)}))


def restamp(form: Callable[[datetime], Any]) -> Callable[[bytes, Random], bytes]:
    """Return a function that writes the time of the event in another form."""
    return rewrite(lambda r, _: r.update(ts=as_json(form(_time(r)))))


def _time(record: Record) -> datetime:
    return datetime.fromisoformat(record["ts"][1:-1])


def _omit(name: str) -> Callable[[bytes, Random], bytes]:
    def change(record: Record, chance: Random) -> None:
        if chance.random() < 0.5:
            del record[name]
        else:
            record[name] = chance.choice(["null", '""', '"  "'])

    return rewrite(change)


def _truncate(line: bytes, chance: Random) -> bytes:
    return line[: chance.randrange(1, len(line))]


def _bad_utf8(line: bytes, chance: Random) -> bytes:
    at = line.index(b'"category":"') + len(b'"category":"')
    return line[:at] + chance.choice([b"\xff", b"\xc3", b"\xed\xa0\x80"]) + line[at:]


def _negate(name: str) -> Callable[[bytes, Random], bytes]:
    return rewrite(lambda r, _: r.update({name: f"-{r[name]}"}))


def _wrong_total(record: Record, chance: Random) -> None:
    """Change the total by more than any currency is rounded."""
    error = chance.choice([-1, 1]) * Decimal(chance.randrange(200, 10_000)) / 100
    record["total_amount"] = str(Decimal(record["total_amount"]) + error)


def _absent_total(record: Record, _: Random) -> None:
    """Leave out the total if it is exactly the computed one; tills round that of a weight."""
    price, quantity, discount, total = (
        Decimal(record[name]) for name in ("price", "quantity", "discount_amount", "total_amount")
    )
    if total == price * quantity - discount:
        del record["total_amount"]


def _epoch(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _zoned(record: Record, chance: Random) -> None:
    offset = timezone(timedelta(minutes=chance.choice([-480, -300, 60, 120, 330, 540])))
    record["ts"] = as_json(_time(record).astimezone(offset).isoformat(timespec="milliseconds"))


def _stray(line: bytes, chance: Random) -> bytes:
    record = parse(line)
    for name in ("event_type", "category", "payment_method", "channel", "currency"):
        record[name] = chance.choice([str.upper, str.title, str.lower])(record[name])
    for name in ("event_id", "store_id", "product_id", "currency", "category"):
        before, after = chance.choice([" ", "\\t", "", "\\n"]), chance.choice(["", " "])
        record[name] = f'"{before}{record[name][1:-1]}{after}"'
    return b" " + write(record, " ,  ", chance.choice([": ", " :"])) + chance.choice([b"", b" \r"])


def _numbers_as_text(record: Record, chance: Random) -> None:
    for name in ("price", "quantity", "discount_amount", "tax_amount", "total_amount"):
        record[name] = f'"{record[name]}"'


def _unknown(record: Record, chance: Random) -> None:
    extra = {
        "till": chance.randrange(40),
        "loyalty": {"points": chance.randrange(900)},
        "cashier_note": "naïve ☕",
        "tags": ["a", "b"],
    }
    record.update({n: as_json(extra[n]) for n in chance.sample(sorted(extra), 2)})


def _nulls(record: Record, _: Random) -> None:
    record.update(category="null", schema_version="null", coupon="null")


def _scientific(record: Record, _: Random) -> None:
    record["price"] = f"{Decimal(record['price']) * 100:.0f}e-2"


REJECTED = (
    Fault("truncated_line", _truncate, MALFORMED),
    Fault(
        "not_json",
        lambda _, chance: chance.choice(
            [b"ERROR: till offline", b"<event/>", b"event_id,ts,price", b"[1, 2]", b"null", b'"x"']
        ),
        MALFORMED,
    ),
    Fault("nan", setting("price", "NaN", "Infinity", "-Infinity"), MALFORMED),
    Fault("trailing_comma", lambda line, _: line[:-1] + b",}", MALFORMED),
    Fault("bad_utf8", _bad_utf8, MALFORMED),
    *(Fault(f.missing, _omit(f.name), f.missing) for f in PURCHASES.fields if f.required),
    Fault("bad_price", setting("price", '"free"', '"12,50"', "true", "[1]", '"1e40"'), "bad_price"),
    Fault("negative_price", _negate("price"), "bad_price"),
    Fault("zero_quantity", setting("quantity", "0"), "bad_quantity"),
    Fault("negative_quantity", _negate("quantity"), "bad_quantity"),
    Fault("vanishing_quantity", setting("quantity", "0.000004"), "bad_quantity"),
    Fault("negative_discount", setting("discount_amount", "-1"), "bad_discount_amount"),
    Fault("wrong_total", rewrite(_wrong_total), "total_mismatch"),
    Fault("unknown_currency", setting("currency", '"XXX"', '"BTC"', '"US"'), "bad_currency"),
    Fault("bad_event_type", setting("event_type", '"refund"', '"void"', '"buy"'), "bad_event_type"),
    Fault("nested_id", setting("store_id", '{"id": 7}', '["S001"]'), "bad_store_id"),
    Fault("ts_without_offset", restamp(lambda at: at.isoformat()[:23]), "bad_ts"),
    Fault("ts_epoch_seconds", restamp(lambda at: _epoch(at) // 1000), "bad_ts"),
    Fault("impossible_date", restamp(lambda at: f"{at.year}-02-30T12:00:00Z"), "bad_ts"),
)

ACCEPTED = (
    Fault("ts_with_offset", rewrite(_zoned)),
    Fault("ts_epoch_ms", restamp(_epoch)),
    Fault("ts_epoch_text", restamp(lambda at: str(_epoch(at)))),
    Fault("ts_without_fraction", restamp(lambda at: f"{at:%Y-%m-%dt%H:%M:%Sz}")),
    Fault("numbers_as_text", rewrite(_numbers_as_text)),
    Fault("number_with_exponent", rewrite(_scientific)),
    Fault("stray_case_and_spaces", _stray),
    Fault("unknown_fields", rewrite(_unknown)),
    Fault("explicit_nulls", rewrite(_nulls)),
    Fault("absent_total", rewrite(_absent_total)),
    Fault("late_event", lambda line, _: line),
    Fault("future_event", lambda line, _: line),
)


def _same(line: bytes, _: Random) -> bytes:
    return line


def _other_day(record: Record, chance: Random) -> None:
    at = _time(record) - chance.randrange(1, 4) * DAY
    record["ts"] = as_json(at.isoformat(timespec="milliseconds"))


# The second copies of repeated events; the first copy is a good line.
REPEATED = (
    Fault("repeat_in_file", _same),
    Fault("repeat_in_next_file", _same),
    Fault("repeat_days_later", _same),
    Fault("repeat_with_other_ts", rewrite(_other_day)),
)

FAULTS = (*REJECTED, *ACCEPTED, *REPEATED)
