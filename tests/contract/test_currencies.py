"""Withdrawn currencies: the table of the contract agrees with Unicode CLDR, as Babel brings it."""

from __future__ import annotations

from datetime import date

from babel.core import get_global

from medallion.contract import CURRENCIES, WHOLE_CURRENCIES, WITHDRAWN_CURRENCIES

ENDS = dict(WITHDRAWN_CURRENCIES)
ISSUED_ELSEWHERE = ("ME", "XK")
"""Montenegro and Kosovo used the notes of Germany for longer."""
BEFORE_ISO_4217 = {"ARL", "BAN", "MCF", "MDC", "MKN", "MVP", "VNN", "YUR"}
"""Currencies that had no code in the standard."""


def test_every_withdrawn_currency_lasts_as_long_as_its_notes_were_legal_tender() -> None:
    """None ends too early, and none is missing."""
    for territory, currencies in get_global("territory_currencies").items():
        for code, _, end, is_tender in currencies:
            if not is_tender or end is None or code in CURRENCIES or code in BEFORE_ISO_4217:
                continue
            if territory not in ISSUED_ELSEWHERE and (last := date(*end)) > date(1978, 1, 1):
                assert ENDS[code] >= last, (code, territory)


def test_no_currency_is_both_in_use_and_withdrawn() -> None:
    """And each ends with a month."""
    assert not ENDS.keys() & set(CURRENCIES)
    assert {end.day for end in ENDS.values()} == {1}


def test_withdrawn_currencies_have_the_digits_of_cldr() -> None:
    """No smaller unit, or hundredths."""
    fractions = get_global("currency_fractions")
    digits = {code: fractions.get(code, fractions["DEFAULT"])[0] for code in ENDS}
    assert set(digits.values()) == {0, 2}
    assert {code for code, n in digits.items() if n == 0} == ENDS.keys() & set(WHOLE_CURRENCIES)
