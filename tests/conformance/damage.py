"""Random events, as hypothesis strategies of lines, and random damage to them."""

from __future__ import annotations

import json
from random import Random

from hypothesis import strategies as st

from medallion.contract import CURRENCIES, FEEDS, Feed, Field

_SCALARS = (
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e2",
    "1e400",
    "-1e-400",
    "1e1000",
    "0e999",
    "0.0E+1",
    "1E-0007",
    "12345678901234567890123456789",
    "9007199254740993",
    "0.1",
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    "inf",
    "01",
    "+1",
    "1.",
    ".5",
    "1e",
    "--1",
    "[]",
    "{}",
    "[1,]",
    '[{"price":1}]',
    '{"a":[null,"]}"]}',
    '""',
    '" "',
    '"\\u0000"',
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"\\ude00\\ud83d"',
    '"\\\\u0000"',
    '"\\\\\\u0000"',
    '"\\x41"',
    '"\\/"',
    '"a:"',
    '"b: "',
    '"c, "',
    "'x'",
    "tru",
    "truee",
    "nul",
    '"true"',
    '"null"',
    '"NaN"',
    '"1e5"',
    '"-5"',
    '"[1]"',
    '"{}"',
    '" x"',
    '"x\\t"',
    '"\\n"',
    '"\u00a0"',
    '"\u2028"',
    '"\ufeff"',
    '"İI"',
    '"ΟΔΟΣ"',
    '"ÉŸ"',
    '"\x7f"',
    '"\U0001f600"',
    '"0x10"',
    '"1_0"',
    '"٣"',
    '"１"',
    '"=1"',
    '"\\""',
)
_TIMES = (
    "2026-03-14T15:09:26.535Z",
    "2026-03-14t15:09:26z",
    "2026-03-14 15:09:26.5+05:30",
    "2026-03-14T15:09:26",
    "2026-03-14",
    "2026-02-30T00:00:00Z",
    "2026-03-14T24:00:00Z",
    "2026-03-14T15:09:60Z",
    "1773500966535",
    "1773500966",
    "1970-01-01T00:00:00+00:01",
    "2199-12-31T23:59:59.999999999-00:01",
    "2026-03-14T15:09:26.123456789-23:59",
    "2026-03-14T15:09:26+24:00",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
)
_BYTES = (
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\t",
    b"\r",
    b"\x00",
    b"\x0b",
    b"\x1f",
    b"\xff",
    b"\xc3",
    b"\xe2\x80\xa8",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xef\xbb\xbf",
    b"\xc2\xa0",
    b"\xf0\x9f\x98\x80",
    b"0",
    b"-",
    b"+",
    b".",
    b"e",
    b"E",
    b"9" * 17,
    b"1e400",
    b"NaN",
    b"null",
    b"true",
    b"\\u0000",
    b"\\ud800",
    b"\\udc00",
    b"\\u0020",
    b'","',
    b'":"',
    b'":',
    b',"x":1',
    b',"price":1',
    b',"pric\\u0065":2',
    b" ",
    b" ",
    b"1",
    b"5",
    b"a",
    b"\\n",
    b"\\t",
    b"\xc3\x89",
    b"[" * 513,
    b"[" * 520 + b"]" * 520,
    b"7" * 1001,
    b"=",
)

_digits = st.text("0123456789", min_size=1, max_size=20)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A JSON number, or nearly one."""
    if draw(st.booleans()):
        units = draw(st.integers(-(10 ** draw(st.integers(0, 20))), 10 ** draw(st.integers(0, 20))))
        scale = draw(st.integers(0, 12))
        text = f"{abs(units):0{scale + 1}d}"
        return "-" * (units < 0) + (f"{text[:-scale]}.{text[-scale:]}" if scale else text)
    parts = [draw(st.sampled_from(("", "", "-"))), draw(_digits)]
    parts += [".", draw(_digits)] if draw(st.booleans()) else []
    if draw(st.integers(0, 3)) == 0:
        parts += [draw(st.sampled_from("eE")), draw(st.sampled_from(("", "-", "+")))]
        parts.append(str(draw(st.integers(0, 1200))).zfill(draw(st.integers(1, 5))))
    return "".join(parts)


@st.composite
def times(draw: st.DrawFn) -> str:
    """A time in one of many forms, with parts in and out of their bounds."""
    if draw(st.integers(0, 2)) == 0:
        return draw(st.sampled_from(_TIMES))
    if draw(st.integers(0, 4)) == 0:
        return str(draw(st.integers(0, 10**16)))
    year, month = draw(st.integers(1960, 2210)), draw(st.integers(0, 13))
    day, hour = draw(st.integers(0, 32)), draw(st.integers(0, 24))
    minute, second = draw(st.integers(0, 60)), draw(st.integers(0, 60))
    fraction = draw(st.sampled_from(("", ".", ",0"))) + draw(st.text("0123456789", max_size=10))
    zone = draw(st.sampled_from(("Z", "z", "", "+00:00", "-00:00", "+0530", " UTC", "offset")))
    if zone == "offset":
        sign = draw(st.sampled_from("+-"))
        zone = f"{sign}{draw(st.integers(0, 25)):02d}:{draw(st.integers(0, 60)):02d}"
    between = draw(st.sampled_from("TTTTt _"))
    return (
        f"{year:04d}-{month:02d}-{day:02d}{between}{hour:02d}:{minute:02d}:{second:02d}"
        f"{fraction if fraction.strip('.,') else ''}{zone}"
    )


def _quoted(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    spaces = st.sampled_from(("", "", "", " ", "\t", "\n ", "\u00a0"))
    padded = st.tuples(spaces, texts, spaces).map("".join)
    return st.tuples(padded, st.booleans()).map(lambda t: json.dumps(t[0], ensure_ascii=t[1]))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
).map(json.dumps)


def _good(field: Field) -> st.SearchStrategy[str]:
    """Values that the field takes, mostly."""
    if field.allowed:
        values = (*field.allowed, *dict(field.ended), *CURRENCIES[:3])
        return _quoted(st.sampled_from(values).map(str.lower))
    if field.type.kind == "text":
        return _quoted(st.text(max_size=12)) | st.integers(0, 10**22).map(str)
    if field.type.kind == "timestamp":
        return _quoted(times()) | times().filter(str.isdigit)
    if field.type.kind == "date":
        return _quoted(times().map(lambda text: text[:10]))
    if field.type.kind == "integer":
        return st.integers(1, 5).map(str) | st.integers(1, 10**9).map(str) | numbers()
    plain = st.integers(0, 10**6).map(lambda n: f"{n // 1000}.{n % 1000:03d}")
    return plain | plain | _quoted(plain) | numbers() | _quoted(numbers())


def _values(field: Field) -> st.SearchStrategy[str]:
    good = _good(field)
    return st.one_of(good, good, st.sampled_from(_SCALARS), _json)


_VALUES = {field: _values(field) for feed in FEEDS.values() for field in feed.fields}
_PLAIN = {"timestamp": '"2026-03-14T15:09:26.535Z"', "date": '"2026-03-14"', "integer": "2"}


def _plain(field: Field) -> str:
    if field.type.kind in _PLAIN:
        return _PLAIN[field.type.kind]
    return json.dumps(field.allowed[0] if field.allowed else "x1") if _is_text(field) else "12.50"


def _is_text(field: Field) -> bool:
    return field.type.kind == "text"


@st.composite
def events(draw: st.DrawFn, feed: Feed) -> str:
    """A line of a feed: a plain event with up to four fields changed or left out, and now and then
    a field added or doubled, or the order changed."""
    left_out = set(draw(st.lists(st.sampled_from(feed.names), max_size=2)))
    left_out -= {f.name for f in feed.fields if f.required and draw(st.integers(0, 9))}
    if feed.total and draw(st.integers(0, 3)):
        left_out.add("total_amount")
    changed = draw(st.lists(st.sampled_from(feed.fields), max_size=4, unique=True))
    values = {f.name: _plain(f) for f in feed.fields if f.name not in left_out}
    values |= {f.name: draw(_VALUES[f]) for f in changed}
    members = [(json.dumps(name), value) for name, value in values.items()]
    oddity = draw(st.integers(0, 11))
    if oddity == 0:
        members.append((draw(st.text(max_size=5).map(json.dumps)), draw(_json)))
    elif oddity == 1 and members:
        members.append(draw(st.sampled_from(members)))
    elif oddity == 2:
        members = draw(st.permutations(members))
    colon, comma = draw(st.sampled_from(((":", ","), (": ", ", "), (" :\t", "\t, "))))
    return "{" + comma.join(f"{name}{colon}{value}" for name, value in members) + "}"


def damaged(chance: Random, line: bytes) -> bytes:
    """The line with up to three strokes of damage: bytes put in, taken out, replaced, repeated."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        start = chance.randint(0, len(line))
        end = min(len(line), start + chance.choice((0, 0, 1, 1, 2, 8, 200)))
        kind = chance.randint(0, 9)
        if kind == 0:
            piece = line[start:end] * 2
        elif kind < 3:
            piece = chance.randbytes(chance.randint(1, 3))
        else:
            piece = chance.choice((b"", *_BYTES))
        line = line[:start] + piece + line[end:]
    return line.replace(b"\n", b" ")
