"""The exact lane: one line at a time, in plain Python, strictly by RFC 8259.

It decides about every line that the compiled pass leaves, and it alone says why a line is rejected.
The tests compare the compiled pass with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, NamedTuple

from medallion.contract import (
    BEFORE,
    CURRENCIES,
    DATE,
    EARLIEST,
    EPOCH_MS,
    INTEGER_DECIMALS,
    LOWER_FROM,
    LOWER_TO,
    MALFORMED,
    MAX_DEPTH,
    MAX_LINE_BYTES,
    MAX_NUMBER_LENGTH,
    NUMBER,
    OVERSIZE,
    RFC3339,
    TIME,
    TIME_ZONES,
    TOTAL_MISMATCH,
    UPPER_FROM,
    UPPER_TO,
    WHITE_SPACE,
    WHOLE_CURRENCIES,
    Feed,
    Field,
    Total,
)

Value = str | int | Decimal | datetime | date


class JsonNumber(str):
    """The text of a JSON number."""


class _Malformed(ValueError):
    """The line is not one JSON object that the contract can hold."""


class _Bad(ValueError):
    """A value that its field cannot take.

    The message says which rule it breaks; without one it is the rule of the whole field.
    """


class Verdict(NamedTuple):
    """What became of a line.

    - `reason`: why it is rejected; None when it is accepted.
    - `values`: its values in the order of the fields; absent ones are None.
    - `unknown`: the names of its members that the feed does not know.
    - `rule`: what the value that it is rejected for must be; empty where no value is to blame.
    """

    reason: str | None
    values: tuple[Value | None, ...] = ()
    unknown: frozenset[str] = frozenset()
    rule: str = ""


class Validator:
    """Decides about the lines of one feed."""

    def __init__(self, feed: Feed) -> None:
        self._total = feed.total
        self._names = frozenset(feed.names)
        self._rules = [
            _Rule(
                f.name,
                _READERS[f.type.kind](f),
                _absent(feed, f),
                f.missing if f.required else None,
                f.bad,
                _rule_of(f),
                tuple(_Ends.of(field) for field in _decided_by(feed, f)),
            )
            for f in feed.fields
        ]

    def validate(self, line: bytes, size: int) -> Verdict:
        """Return what becomes of a line.

        Args:
            line: its bytes without the line feed; of an oversize line any part.
            size: how many bytes the whole line has.
        """
        if size > MAX_LINE_BYTES:
            return Verdict(OVERSIZE)
        if (members := read_object(line)) is None:
            return Verdict(MALFORMED)
        unknown = frozenset(members.keys() - self._names)
        values: dict[str, Any] = {}
        for name, read, absent, missing, bad, rule, decided in self._rules:
            given = members.get(name)
            if type(given) is str:
                given = given.strip(WHITE_SPACE) or None
            try:
                if given is not None:
                    values[name] = read(given)
                elif missing:
                    return Verdict(missing, unknown=unknown, rule="it is required")
                else:
                    values[name] = absent(values)
            except _Bad as error:
                return Verdict(bad, unknown=unknown, rule=str(error) or rule)
            except InvalidOperation:  # more digits than the field holds
                return Verdict(bad, unknown=unknown, rule=rule)
            for field, ends, too_late in decided:
                if (end := ends.get(values[field])) and values[TIME] >= end:
                    rule = (
                        f"{values[field]} was withdrawn: only an event before {end:%Y-%m-%d} may "
                        "have it"
                    )
                    return Verdict(too_late, unknown=unknown, rule=rule)
        if self._total and (rule := _broken_total(self._total, values)):
            return Verdict(TOTAL_MISMATCH, unknown=unknown, rule=rule)
        return Verdict(None, tuple(values.values()), unknown)


def read_object(line: bytes) -> dict[str, Any] | None:
    """Return the members of the one JSON object in a line, its numbers as JsonNumber.

    None stands for a line that is no such object, or one that the contract cannot hold.
    """
    try:
        text = line.decode()
        if len(text) > MAX_DEPTH:
            _check_size(text)
        pairs = _DECODER.decode(text)
        if type(pairs) is not tuple or len(members := dict(pairs)) < len(pairs):
            return None
        if "\\u" in text:
            _check_texts(pairs)
    except ValueError:  # of UTF-8, of JSON, of this module
        return None
    return members


def _refuse(constant: str) -> None:
    raise _Malformed(constant)


_DECODER = json.JSONDecoder(
    object_pairs_hook=tuple,
    parse_int=JsonNumber,
    parse_float=JsonNumber,
    parse_constant=_refuse,  # NaN and Infinity
)
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_LONG_NUMBER = re.compile(rf"[-+.0-9eE]{{{MAX_NUMBER_LENGTH + 1}}}")
_BRACKET = re.compile(r"[][{}]")


def _check_size(text: str) -> None:
    """Raise _Malformed where numbers are too long or brackets nest too deep."""
    structure = _STRING.sub('""', text)
    depth = 0
    for bracket in _BRACKET.findall(structure):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise _Malformed
    if _LONG_NUMBER.search(structure):
        raise _Malformed


def _check_texts(value: Any) -> None:
    """Raise ValueError where a text holds half of a surrogate pair, or NUL.

    UTF-8 has no form for the first, and warehouses refuse the second.
    """
    if isinstance(value, list | tuple):
        for item in value:
            _check_texts(item)
    elif isinstance(value, str) and b"\0" in value.encode():
        raise _Malformed


class _Rule(NamedTuple):
    """How a field is read.

    - `read`: turns what is given into a value; `absent`: gives the value where nothing is.
    - `missing`: the reason where a required field is absent; `bad`: that for a value it cannot
      take.
    - `rule`: what a value must be.
    - `decided`: the fields whose values may have ended, to be tried once this one is read.
    """

    name: str
    read: Callable[[Any], Value]
    absent: Callable[[dict[str, Any]], Value | None]
    missing: str | None
    bad: str
    rule: str
    decided: tuple[_Ends, ...]


class _Ends(NamedTuple):
    """The values of a field that only events before an instant may have, and the reason else."""

    name: str
    ends: Mapping[Value | None, datetime]
    reason: str

    @classmethod
    def of(cls, field: Field) -> _Ends:
        return cls(
            field.name,
            {value: datetime.combine(day, time()) for value, day in field.ended},
            field.bad,
        )


def _decided_by(feed: Feed, field: Field) -> list[Field]:
    """Return the fields with values that end, of which this one or the time is read last."""
    place = feed.names.index(TIME)
    return [f for n, f in enumerate(feed.fields) if f.ended and feed.fields[max(n, place)] is field]


def _rule_of(field: Field) -> str:
    """Return what a value of a field must be."""
    kind, low, high = field.type.kind, field.minimum, field.maximum
    if field.allowed == CURRENCIES:
        return "it must be a code of ISO 4217, such as USD"
    if field.allowed == TIME_ZONES:
        return "it must be an IANA time zone, such as Europe/Berlin"
    if field.allowed:
        return f"it must be {' or '.join(field.allowed)}"
    if kind == "text":
        return "it must be a text, or a whole number from 0"
    if kind == "date":
        return f"it must be a date such as 2026-03-01, {_PERIOD}"
    if kind == "timestamp":
        return (
            "it must be RFC 3339 with an offset, such as 2026-03-01T10:00:00Z, or epoch "
            "milliseconds"
        )
    noun = _WHOLE_NUMBER if kind == "integer" else "it must be a number"
    if low is not None and high is not None:
        return f"{noun} from {low:,} to {high:,}"
    if kind == "integer":
        return noun
    return f"{noun} of at most {field.type.precision - field.type.scale} digits before the point"


_WHOLE_NUMBER = "it must be a whole number"
_PERIOD = f"from {EARLIEST} and before {BEFORE}"


def _absent(feed: Feed, field: Field) -> Callable[[dict[str, Any]], Value | None]:
    total, default = feed.total, field.default
    if total and field.name == total.field:
        unit = Decimal(1).scaleb(-field.type.scale)
        context = Context(prec=field.type.precision, rounding=ROUND_HALF_UP)
        return lambda values: _expected(total, values).quantize(unit, context=context)
    if default in feed.names:
        return lambda values: values[default]
    value = None if default is None else _READERS[field.type.kind](field)(default.strip("'"))
    return lambda _: value


def _expected(total: Total, values: dict[str, Any]) -> Decimal:
    """Return what the total must be; exact, because no amount has more digits than _WIDE keeps."""
    product = _WIDE.multiply(values[total.price], values[total.quantity])
    return _WIDE.subtract(product, values[total.discount])


def _broken_total(total: Total, values: dict[str, Any]) -> str:
    """Return what the total must be; empty where it is."""
    expected = _expected(total, values)
    unit = total.whole if values[total.currency] in WHOLE_CURRENCIES else total.fixed
    tolerance = unit + total.each * values[total.quantity]
    if abs(_WIDE.subtract(values[total.field], expected)) <= tolerance:
        return ""
    formula = f"{total.price} x {total.quantity} - {total.discount}"
    most = f"{tolerance.normalize():f}"
    return f"{formula} is {expected.normalize(_WIDE):f}, from which it may differ by {most}"


_WIDE = Context(prec=60)
_FOLDS: dict[str, tuple[Callable[[str], str], dict[int, int]]] = {
    "lower": (str.lower, str.maketrans(LOWER_FROM, LOWER_TO)),
    "upper": (str.upper, str.maketrans(UPPER_FROM, UPPER_TO)),
}
_NUMBER, _RFC3339, _EPOCH_MS, _DATE = map(re.compile, (NUMBER, RFC3339, EPOCH_MS, DATE))

_FIRST, _END = date.fromisoformat(EARLIEST), date.fromisoformat(BEFORE)
_FIRST_INSTANT, _END_INSTANT = map(datetime.fromisoformat, (EARLIEST, BEFORE))
_NO_INSTANT = f"it must be {_PERIOD}, and a day of the calendar"


def _text_reader(field: Field) -> Callable[[Any], Value]:
    fold, table = _FOLDS.get(field.fold or "", (None, {}))
    allowed = frozenset((*field.allowed, *dict(field.ended)))

    def read(given: Any) -> Value:
        text = given
        if type(given) is not str:
            if type(given) is not JsonNumber or not given.isdigit():
                raise _Bad
            text = str(given)
        if fold:
            text = fold(text) if text.isascii() else text.translate(table)
        if allowed and text not in allowed:
            raise _Bad
        return text

    return read


def _number_reader(field: Field) -> Callable[[Any], Value]:
    is_integer = field.type.kind == "integer"
    unit = Decimal(1).scaleb(-(INTEGER_DECIMALS if is_integer else field.type.scale))
    context = Context(prec=38 if is_integer else field.type.precision, rounding=ROUND_HALF_UP)
    low, high, is_number = field.minimum, field.maximum, _NUMBER.fullmatch
    too_low, too_high = f"it must be at least {low or 0:,}", f"it must be at most {high or 0:,}"

    def read(given: Any) -> Value:
        if type(given) is JsonNumber:
            if "e" in given or "E" in given:
                given = _with_short_exponent(given)
        elif type(given) is not str or len(given) > MAX_NUMBER_LENGTH or not is_number(given):
            raise _Bad
        number = Decimal(given).quantize(unit, None, context)
        if low is not None and number < low:
            raise _Bad(too_low)
        if high is not None and number > high:
            raise _Bad(too_high)
        if not is_integer:
            return number
        if number != int(number):
            raise _Bad(_WHOLE_NUMBER)
        return int(number)

    return read


def _with_short_exponent(number: str) -> str:
    """Return a number with an exponent of at most three digits; "0" where it is too small to keep.

    Raises:
        _Bad: the number is too large.
    """
    mantissa, _, exponent = number.lower().partition("e")
    digits = exponent.lstrip("+-").lstrip("0")
    if len(digits) <= 3:
        return f"{mantissa}e{'-' * exponent.startswith('-')}{digits or 0}"
    if exponent.startswith("-") or not mantissa.strip("-0."):
        return "0"
    raise _Bad


def _instant_reader(_: Field) -> Callable[[Any], Value]:
    def read(given: Any) -> Value:
        if not isinstance(given, str):
            raise _Bad
        try:
            instant = _instant(given)
        except _Bad:
            raise
        except (ValueError, OverflowError):
            raise _Bad(_NO_INSTANT) from None
        if not _FIRST_INSTANT <= instant < _END_INSTANT:
            raise _Bad(_NO_INSTANT)
        return instant

    return read


def _instant(text: str) -> datetime:
    """Return the time of an RFC 3339 text or of epoch milliseconds: UTC, cut to milliseconds."""
    if _EPOCH_MS.fullmatch(text):
        return _FIRST_INSTANT + timedelta(milliseconds=int(text))
    if not (match := _RFC3339.fullmatch(text)):
        raise _Bad
    seconds, fraction, offset = (match[2] or ":00")[:3], (match[3] or ".")[:4], match[4]
    local = datetime.fromisoformat(f"{text[:16]}{seconds}{fraction:0<4}")
    if offset in "Zz":
        return local
    shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:].lstrip(":") or 0))
    return local + shift if offset[0] == "-" else local - shift


def _day_reader(_: Field) -> Callable[[Any], Value]:
    def read(given: Any) -> Value:
        if not isinstance(given, str) or not _DATE.fullmatch(given):
            raise _Bad
        try:
            day = date.fromisoformat(given)
        except ValueError:
            raise _Bad from None
        if not _FIRST <= day < _END:
            raise _Bad
        return day

    return read


_READERS = {
    "text": _text_reader,
    "decimal": _number_reader,
    "integer": _number_reader,
    "timestamp": _instant_reader,
    "date": _day_reader,
}
