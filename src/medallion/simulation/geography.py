"""The markets of the simulated retailer: countries, currencies and cities of stores."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Currency:
    """A currency.

    `level` is the price, in 1/10,000, of an article that costs one US dollar; `step` is the
    smallest amount of cash, in 1/100; `usd` is the approximate value of one unit in US dollars, in
    1e-8.
    """

    code: str
    level: int
    step: int
    usd: int


CURRENCIES = (
    Currency("USD", 10_000, 1, 100_000_000),
    Currency("EUR", 9_600, 1, 109_000_000),
    Currency("GBP", 8_200, 1, 129_000_000),
    Currency("CAD", 13_700, 1, 73_000_000),
    Currency("MXN", 186_000, 1, 5_400_000),
    Currency("BRL", 54_000, 1, 18_000_000),
    Currency("PLN", 41_000, 1, 25_500_000),
    Currency("SEK", 108_000, 1, 9_500_000),
    Currency("CHF", 9_300, 1, 113_000_000),
    Currency("JPY", 1_480_000, 100, 670_000),
    Currency("INR", 620_000, 100, 1_190_000),
    Currency("AUD", 15_200, 1, 66_000_000),
)


@dataclass(frozen=True)
class Country:
    """A country: its currency, tax in basis points, and opening hours in local time."""

    currency: str
    tax: int
    opens: float
    closes: float
    sunday: tuple[float, float] | None


COUNTRIES = {
    "US": Country("USD", 725, 8, 21, (9, 20)),
    "CA": Country("CAD", 1_300, 8, 21, (10, 18)),
    "MX": Country("MXN", 1_600, 8, 22, (9, 21)),
    "BR": Country("BRL", 1_800, 8, 22, (9, 20)),
    "GB": Country("GBP", 2_000, 7.5, 21, (10, 16)),
    "IE": Country("EUR", 2_300, 8, 21, (10, 19)),
    "DE": Country("EUR", 1_900, 8, 20, None),
    "FR": Country("EUR", 2_000, 8.5, 20, (9, 12.5)),
    "ES": Country("EUR", 2_100, 9, 21.5, None),
    "NL": Country("EUR", 2_100, 8, 21, (12, 18)),
    "PL": Country("PLN", 2_300, 7, 21, None),
    "SE": Country("SEK", 2_500, 8, 20, (10, 18)),
    "CH": Country("CHF", 810, 8, 19, None),
    "JP": Country("JPY", 1_000, 10, 21, (10, 21)),
    "IN": Country("INR", 1_800, 10, 21.5, (10, 21.5)),
    "AU": Country("AUD", 1_000, 8, 20, (10, 17)),
}

# City, country, time zone, share of trade, first day of trade, first day without trade.
CITIES: tuple[tuple[str, str, str, float, str, str], ...] = (
    ("New York", "US", "America/New_York", 4.0, "2009-03-02", ""),
    ("Boston", "US", "America/New_York", 2.0, "2011-05-16", ""),
    ("Atlanta", "US", "America/New_York", 1.8, "2012-09-10", ""),
    ("Miami", "US", "America/New_York", 1.7, "2014-02-03", ""),
    ("Chicago", "US", "America/Chicago", 2.8, "2010-04-12", ""),
    ("Houston", "US", "America/Chicago", 2.1, "2013-06-03", ""),
    ("Dallas", "US", "America/Chicago", 1.9, "2015-08-24", ""),
    ("Denver", "US", "America/Denver", 1.4, "2016-03-14", ""),
    ("Phoenix", "US", "America/Phoenix", 1.3, "2017-10-02", ""),
    ("Los Angeles", "US", "America/Los_Angeles", 3.4, "2010-09-20", ""),
    ("Seattle", "US", "America/Los_Angeles", 1.6, "2014-11-03", ""),
    ("Toronto", "CA", "America/Toronto", 2.0, "2012-05-07", ""),
    ("Montréal", "CA", "America/Toronto", 1.4, "2015-04-20", ""),
    ("Vancouver", "CA", "America/Vancouver", 1.2, "2016-06-13", ""),
    ("Mexico City", "MX", "America/Mexico_City", 1.5, "2018-02-19", ""),
    ("São Paulo", "BR", "America/Sao_Paulo", 1.6, "2017-03-06", ""),
    ("London", "GB", "Europe/London", 3.2, "2010-10-04", ""),
    ("Croydon", "GB", "Europe/London", 1.1, "2019-05-13", "2026-07-01"),
    ("Manchester", "GB", "Europe/London", 1.5, "2013-03-18", ""),
    ("Edinburgh", "GB", "Europe/London", 0.9, "2015-09-07", ""),
    ("Dublin", "IE", "Europe/Dublin", 1.0, "2016-04-04", ""),
    ("Berlin", "DE", "Europe/Berlin", 2.2, "2011-10-17", ""),
    ("Hamburg", "DE", "Europe/Berlin", 1.5, "2013-11-04", ""),
    ("München", "DE", "Europe/Berlin", 1.7, "2014-05-05", ""),
    ("Köln", "DE", "Europe/Berlin", 1.2, "2017-09-11", ""),
    ("Paris", "FR", "Europe/Paris", 2.6, "2012-03-12", ""),
    ("Lyon", "FR", "Europe/Paris", 1.1, "2016-10-10", ""),
    ("Marseille", "FR", "Europe/Paris", 1.0, "2018-09-03", ""),
    ("Madrid", "ES", "Europe/Madrid", 1.6, "2014-09-15", ""),
    ("Barcelona", "ES", "Europe/Madrid", 1.4, "2015-02-16", ""),
    ("Amsterdam", "NL", "Europe/Amsterdam", 1.2, "2016-11-14", ""),
    ("Warszawa", "PL", "Europe/Warsaw", 1.3, "2018-05-14", ""),
    ("Stockholm", "SE", "Europe/Stockholm", 1.0, "2017-06-05", ""),
    ("Zürich", "CH", "Europe/Zurich", 0.9, "2019-03-25", ""),
    ("Tokyo", "JP", "Asia/Tokyo", 2.7, "2015-10-05", ""),
    ("Osaka", "JP", "Asia/Tokyo", 1.5, "2018-04-09", ""),
    ("Mumbai", "IN", "Asia/Kolkata", 1.6, "2019-08-05", ""),
    ("Sydney", "AU", "Australia/Sydney", 1.6, "2016-02-08", ""),
    ("Adelaide", "AU", "Australia/Adelaide", 0.7, "2019-11-11", ""),
    ("Austin", "US", "America/Chicago", 1.2, "2026-04-06", ""),
)
