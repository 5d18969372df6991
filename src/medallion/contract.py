"""The event contract, version 2: every field, type, bound and reject reason, once.

Everything else takes them from here: the cleaner, the loader and the simulator import this module,
and `python -m medallion.outputs.contract` writes the documents, schemas and scripts that repeat it.
A *feed* is one kind of event in the lake; the cleaner reads each line of a feed, and either accepts
it, with the typed columns below, or rejects it with exactly one reason: the first that applies, in
the order of `Feed.reasons`.

Rules that hold for every field:

* An absent field, a JSON null and an empty or blank string are the same: absence.
* Text is trimmed of JSON white space (space, tab, CR, LF). A JSON integer >= 0 counts as its
  digits; any other JSON type in a text field is `bad_<field>`.
* Numbers may come as JSON numbers or as strings holding one. They are decimals, never floats, and
  are rounded half away from zero to the scale of the field.
* `schema_version` says which version a producer follows; every event is read by the newest one.
* Timestamps are RFC 3339 with an offset, or epoch milliseconds. They are kept in UTC, cut to the
  millisecond. Forms that leave the instant open (no offset, epoch seconds) are rejected.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property

VERSION = 2

MAX_LINE_BYTES = 1 << 20
"""Longest line that is read, in bytes without its line end; a longer one is `oversize_line`."""

MAX_DEPTH = 512
"""Deepest nesting of JSON arrays and objects in a line; deeper is `malformed_json`."""

MAX_NUMBER_LENGTH = 1000
"""Longest JSON number in characters; a longer one is `malformed_json`."""

MAX_UNKNOWN_NAMES = 100
"""How many unknown field names a receipt counts by name; the rest are summed as OTHER_NAMES."""

MAX_NAME_LENGTH, MAX_NAMES_HELD = 256, 20_000
"""Longest unknown field name in characters that is counted by name, and how many of one object: the
rest are summed as OTHER_NAMES, so that hostile names cannot fill the memory."""

OTHER_NAMES = "(others)"

TIME = "ts"
"""The field of every feed that says when an event happened."""

OVERSIZE, MALFORMED, UNREADABLE = "oversize_line", "malformed_json", "unreadable_file"
TOTAL_MISMATCH = "total_mismatch"

WHITE_SPACE = " \t\r\n"
"""White space of JSON, which is trimmed from texts and makes a line blank."""

INTEGER_DECIMALS = 10
"""Decimals with which an integer is read, rounded; it must be whole then."""

NUMBER = "^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]{1,3})?$"
"""A decimal number, of at most MAX_NUMBER_LENGTH characters."""
EPOCH_MS = "^[0-9]{12,15}$"
RFC3339 = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?"
    "([Zz]|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)$"
)
"""RFC 3339, section 5.6, without leap seconds (no engine can keep one). Seconds may be left out,
and so may minutes of the offset, or its colon: no instant is in doubt then."""
DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
EARLIEST, BEFORE = "1970-01-01", "2200-01-01"
"""Instants outside this span are clock or unit errors."""

# Case folding is done code point by code point over these blocks, where every engine can agree:
# Latin, Greek, Cyrillic (with extensions) and full-width Latin. A code point without a
# one-to-one partner (such as U+0130) stays as it is.
_CASED = [*range(0x41, 0x5B), *range(0xC0, 0x530), *range(0x1E00, 0x1F00), *range(0xFF21, 0xFF3B)]
_LOWER = {
    chr(c): chr(c).lower() for c in _CASED if len(chr(c).lower()) == 1 and chr(c).lower() != chr(c)
}
LOWER_FROM, LOWER_TO = "".join(_LOWER), "".join(_LOWER.values())
UPPER_FROM, UPPER_TO = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Codes are ASCII: upper case touches nothing else."""

# ISO 4217, table A.1: active codes (January 2026, with those for funds and metals left out).
_ISO_4217 = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD
    CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS
    GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW
    KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR
    MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX
    USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = tuple(_ISO_4217.split())
# ISO 4217, table A.3 (January 2026): withdrawn codes, each with its last month. Where notes were
# legal tender for longer in the country that issued them, it is that month (Unicode CLDR).
_WITHDRAWN = """
    ADP:2003-07 AFA:2003-01 ALK:1989-12 ANG:2025-06 AOK:1991-03 AON:2000-02 AOR:2000-02
    ARA:1992-01 ARP:1985-07 ARY:1990-12 ATS:2002-03 AZM:2006-12 BAD:1998-07 BEF:2002-03
    BGJ:1990-12 BGK:1990-12 BGL:2003-11 BGN:2026-01 BOP:1987-02 BRB:1986-03 BRC:1989-02
    BRE:1993-07 BRN:1990-03 BRR:1994-07 BUK:1990-02 BYB:2001-01 BYR:2017-01 CSD:2006-10
    CSJ:1990-12 CSK:1993-03 CUC:2021-06 CYP:2008-01 DDM:1990-10 DEM:2002-03 ECS:2000-10
    EEK:2011-01 ESP:2002-03 FIM:2002-03 FRF:2002-03 GEK:1995-10 GHC:2008-01 GHP:2007-06
    GNE:1989-12 GNS:1986-02 GQE:1986-06 GRD:2002-03 GWE:1981-12 GWP:1997-05 HRD:1995-01
    HRK:2023-01 IEP:2002-03 ILP:1981-12 ILR:1990-12 ISJ:1990-12 ITL:2002-03 LAJ:1979-12
    LSM:1985-05 LTL:2014-12 LTT:1993-07 LUF:2002-03 LVL:2014-01 LVR:1994-12 MGF:2004-12
    MLF:1984-11 MRO:2018-06 MTL:2008-01 MTP:1983-06 MVQ:1989-12 MXP:1993-01 MZE:1981-12
    MZM:2006-12 NIC:1991-04 NLG:2002-03 PEH:1990-12 PEI:1991-07 PES:1986-02 PLZ:1997-01
    PTE:2002-03 RHD:1981-12 ROK:1990-12 ROL:2006-12 RUR:2004-01 SDD:2007-07 SDP:1998-06
    SIT:2007-01 SKK:2009-01 SLL:2023-12 SRG:2003-12 STD:2017-12 SUR:1992-09 TJR:2001-04
    TMM:2009-01 TPE:2002-11 TRL:2005-12 UAK:1996-09 UGS:1987-05 UGW:1990-12 UYN:1989-12
    UYP:1993-03 VEB:2008-06 VEF:2018-08 VNC:1990-12 YDD:1995-12 YUD:1990-01 YUM:2003-07
    YUN:1995-11 ZMK:2012-12 ZRN:1999-06 ZRZ:1994-02 ZWC:1989-12 ZWD:2008-08 ZWL:2024-09
    ZWN:2006-09 ZWR:2009-06
"""
_LAST_MONTHS = dict(entry.split(":") for entry in _WITHDRAWN.split())
WITHDRAWN_CURRENCIES = tuple(
    (code, (date.fromisoformat(f"{month}-01") + timedelta(days=31)).replace(day=1))
    for code, month in _LAST_MONTHS.items()
)
"""Currencies that are no longer in use, each with the first day (UTC) on which no event has it.

A later sale in such a currency is a mistake: the till sends the old code beside amounts of the new
currency, which are up to a million times smaller or larger. It is rejected, so that it can be
mended. What counts is when the sale happened, not when it arrived.
"""
KNOWN_CURRENCIES = (*CURRENCIES, *_LAST_MONTHS)

_WHOLE = """
    BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF
    ADP BYR ESP ITL LUF MGF MRO SLL STD TMM TRL ZMK ZWD
"""
WHOLE_CURRENCIES = tuple(_WHOLE.split())
"""Currencies without a smaller unit, in which tills round every line to a whole amount.

Of the withdrawn ones (the second row) it is CLDR that says so, because table A.3 does not."""
THOUSANDTHS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
"""Currencies whose smallest unit is a thousandth; that of all others is a hundredth."""

# IANA time zones with their links (tzdata 2026f). A warehouse stops at an unknown name, so the
# cleaner takes no other.
_IANA = """
    Africa/Abidjan Africa/Accra Africa/Addis_Ababa Africa/Algiers Africa/Asmara Africa/Asmera
    Africa/Bamako Africa/Bangui Africa/Banjul Africa/Bissau Africa/Blantyre Africa/Brazzaville
    Africa/Bujumbura Africa/Cairo Africa/Casablanca Africa/Ceuta Africa/Conakry Africa/Dakar
    Africa/Dar_es_Salaam Africa/Djibouti Africa/Douala Africa/El_Aaiun Africa/Freetown
    Africa/Gaborone Africa/Harare Africa/Johannesburg Africa/Juba Africa/Kampala Africa/Khartoum
    Africa/Kigali Africa/Kinshasa Africa/Lagos Africa/Libreville Africa/Lome Africa/Luanda
    Africa/Lubumbashi Africa/Lusaka Africa/Malabo Africa/Maputo Africa/Maseru Africa/Mbabane
    Africa/Mogadishu Africa/Monrovia Africa/Nairobi Africa/Ndjamena Africa/Niamey Africa/Nouakchott
    Africa/Ouagadougou Africa/Porto-Novo Africa/Sao_Tome Africa/Timbuktu Africa/Tripoli
    Africa/Tunis Africa/Windhoek America/Adak America/Anchorage America/Anguilla America/Antigua
    America/Araguaina America/Argentina/Buenos_Aires America/Argentina/Catamarca
    America/Argentina/ComodRivadavia America/Argentina/Cordoba America/Argentina/Jujuy
    America/Argentina/La_Rioja America/Argentina/Mendoza America/Argentina/Rio_Gallegos
    America/Argentina/Salta America/Argentina/San_Juan America/Argentina/San_Luis
    America/Argentina/Tucuman America/Argentina/Ushuaia America/Aruba America/Asuncion
    America/Atikokan America/Atka America/Bahia America/Bahia_Banderas America/Barbados
    America/Belem America/Belize America/Blanc-Sablon America/Boa_Vista America/Bogota
    America/Boise America/Buenos_Aires America/Cambridge_Bay America/Campo_Grande America/Cancun
    America/Caracas America/Catamarca America/Cayenne America/Cayman America/Chicago
    America/Chihuahua America/Ciudad_Juarez America/Coral_Harbour America/Cordoba
    America/Costa_Rica America/Coyhaique America/Creston America/Cuiaba America/Curacao
    America/Danmarkshavn America/Dawson America/Dawson_Creek America/Denver America/Detroit
    America/Dominica America/Edmonton America/Eirunepe America/El_Salvador America/Ensenada
    America/Fort_Nelson America/Fort_Wayne America/Fortaleza America/Glace_Bay America/Godthab
    America/Goose_Bay America/Grand_Turk America/Grenada America/Guadeloupe America/Guatemala
    America/Guayaquil America/Guyana America/Halifax America/Havana America/Hermosillo
    America/Indiana/Indianapolis America/Indiana/Knox America/Indiana/Marengo
    America/Indiana/Petersburg America/Indiana/Tell_City America/Indiana/Vevay
    America/Indiana/Vincennes America/Indiana/Winamac America/Indianapolis America/Inuvik
    America/Iqaluit America/Jamaica America/Jujuy America/Juneau America/Kentucky/Louisville
    America/Kentucky/Monticello America/Knox_IN America/Kralendijk America/La_Paz America/Lima
    America/Los_Angeles America/Louisville America/Lower_Princes America/Maceio America/Managua
    America/Manaus America/Marigot America/Martinique America/Matamoros America/Mazatlan
    America/Mendoza America/Menominee America/Merida America/Metlakatla America/Mexico_City
    America/Miquelon America/Moncton America/Monterrey America/Montevideo America/Montreal
    America/Montserrat America/Nassau America/New_York America/Nipigon America/Nome America/Noronha
    America/North_Dakota/Beulah America/North_Dakota/Center America/North_Dakota/New_Salem
    America/Nuuk America/Ojinaga America/Panama America/Pangnirtung America/Paramaribo
    America/Phoenix America/Port-au-Prince America/Port_of_Spain America/Porto_Acre
    America/Porto_Velho America/Puerto_Rico America/Punta_Arenas America/Rainy_River
    America/Rankin_Inlet America/Recife America/Regina America/Resolute America/Rio_Branco
    America/Rosario America/Santa_Isabel America/Santarem America/Santiago America/Santo_Domingo
    America/Sao_Paulo America/Scoresbysund America/Shiprock America/Sitka America/St_Barthelemy
    America/St_Johns America/St_Kitts America/St_Lucia America/St_Thomas America/St_Vincent
    America/Swift_Current America/Tegucigalpa America/Thule America/Thunder_Bay America/Tijuana
    America/Toronto America/Tortola America/Vancouver America/Virgin America/Whitehorse
    America/Winnipeg America/Yakutat America/Yellowknife Antarctica/Casey Antarctica/Davis
    Antarctica/DumontDUrville Antarctica/Macquarie Antarctica/Mawson Antarctica/McMurdo
    Antarctica/Palmer Antarctica/Rothera Antarctica/South_Pole Antarctica/Syowa Antarctica/Troll
    Antarctica/Vostok Arctic/Longyearbyen Asia/Aden Asia/Almaty Asia/Amman Asia/Anadyr Asia/Aqtau
    Asia/Aqtobe Asia/Ashgabat Asia/Ashkhabad Asia/Atyrau Asia/Baghdad Asia/Bahrain Asia/Baku
    Asia/Bangkok Asia/Barnaul Asia/Beirut Asia/Bishkek Asia/Brunei Asia/Calcutta Asia/Chita
    Asia/Choibalsan Asia/Chongqing Asia/Chungking Asia/Colombo Asia/Dacca Asia/Damascus Asia/Dhaka
    Asia/Dili Asia/Dubai Asia/Dushanbe Asia/Famagusta Asia/Gaza Asia/Harbin Asia/Hebron
    Asia/Ho_Chi_Minh Asia/Hong_Kong Asia/Hovd Asia/Irkutsk Asia/Istanbul Asia/Jakarta Asia/Jayapura
    Asia/Jerusalem Asia/Kabul Asia/Kamchatka Asia/Karachi Asia/Kashgar Asia/Kathmandu Asia/Katmandu
    Asia/Khandyga Asia/Kolkata Asia/Krasnoyarsk Asia/Kuala_Lumpur Asia/Kuching Asia/Kuwait
    Asia/Macao Asia/Macau Asia/Magadan Asia/Makassar Asia/Manila Asia/Muscat Asia/Nicosia
    Asia/Novokuznetsk Asia/Novosibirsk Asia/Omsk Asia/Oral Asia/Phnom_Penh Asia/Pontianak
    Asia/Pyongyang Asia/Qatar Asia/Qostanay Asia/Qyzylorda Asia/Rangoon Asia/Riyadh Asia/Saigon
    Asia/Sakhalin Asia/Samarkand Asia/Seoul Asia/Shanghai Asia/Singapore Asia/Srednekolymsk
    Asia/Taipei Asia/Tashkent Asia/Tbilisi Asia/Tehran Asia/Tel_Aviv Asia/Thimbu Asia/Thimphu
    Asia/Tokyo Asia/Tomsk Asia/Ujung_Pandang Asia/Ulaanbaatar Asia/Ulan_Bator Asia/Urumqi
    Asia/Ust-Nera Asia/Vientiane Asia/Vladivostok Asia/Yakutsk Asia/Yangon Asia/Yekaterinburg
    Asia/Yerevan Atlantic/Azores Atlantic/Bermuda Atlantic/Canary Atlantic/Cape_Verde
    Atlantic/Faeroe Atlantic/Faroe Atlantic/Jan_Mayen Atlantic/Madeira Atlantic/Reykjavik
    Atlantic/South_Georgia Atlantic/St_Helena Atlantic/Stanley Australia/ACT Australia/Adelaide
    Australia/Brisbane Australia/Broken_Hill Australia/Canberra Australia/Currie Australia/Darwin
    Australia/Eucla Australia/Hobart Australia/LHI Australia/Lindeman Australia/Lord_Howe
    Australia/Melbourne Australia/NSW Australia/North Australia/Perth Australia/Queensland
    Australia/South Australia/Sydney Australia/Tasmania Australia/Victoria Australia/West
    Australia/Yancowinna Brazil/Acre Brazil/DeNoronha Brazil/East Brazil/West CET CST6CDT
    Canada/Atlantic Canada/Central Canada/Eastern Canada/Mountain Canada/Newfoundland
    Canada/Pacific Canada/Saskatchewan Canada/Yukon Chile/Continental Chile/EasterIsland Cuba EET
    EST EST5EDT Egypt Eire Etc/GMT Etc/GMT+0 Etc/GMT+1 Etc/GMT+10 Etc/GMT+11 Etc/GMT+12 Etc/GMT+2
    Etc/GMT+3 Etc/GMT+4 Etc/GMT+5 Etc/GMT+6 Etc/GMT+7 Etc/GMT+8 Etc/GMT+9 Etc/GMT-0 Etc/GMT-1
    Etc/GMT-10 Etc/GMT-11 Etc/GMT-12 Etc/GMT-13 Etc/GMT-14 Etc/GMT-2 Etc/GMT-3 Etc/GMT-4 Etc/GMT-5
    Etc/GMT-6 Etc/GMT-7 Etc/GMT-8 Etc/GMT-9 Etc/GMT0 Etc/Greenwich Etc/UCT Etc/UTC Etc/Universal
    Etc/Zulu Europe/Amsterdam Europe/Andorra Europe/Astrakhan Europe/Athens Europe/Belfast
    Europe/Belgrade Europe/Berlin Europe/Bratislava Europe/Brussels Europe/Bucharest
    Europe/Budapest Europe/Busingen Europe/Chisinau Europe/Copenhagen Europe/Dublin
    Europe/Gibraltar Europe/Guernsey Europe/Helsinki Europe/Isle_of_Man Europe/Istanbul
    Europe/Jersey Europe/Kaliningrad Europe/Kiev Europe/Kirov Europe/Kyiv Europe/Lisbon
    Europe/Ljubljana Europe/London Europe/Luxembourg Europe/Madrid Europe/Malta Europe/Mariehamn
    Europe/Minsk Europe/Monaco Europe/Moscow Europe/Nicosia Europe/Oslo Europe/Paris
    Europe/Podgorica Europe/Prague Europe/Riga Europe/Rome Europe/Samara Europe/San_Marino
    Europe/Sarajevo Europe/Saratov Europe/Simferopol Europe/Skopje Europe/Sofia Europe/Stockholm
    Europe/Tallinn Europe/Tirane Europe/Tiraspol Europe/Ulyanovsk Europe/Uzhgorod Europe/Vaduz
    Europe/Vatican Europe/Vienna Europe/Vilnius Europe/Volgograd Europe/Warsaw Europe/Zagreb
    Europe/Zaporozhye Europe/Zurich GB GB-Eire GMT GMT+0 GMT-0 GMT0 Greenwich HST Hongkong Iceland
    Indian/Antananarivo Indian/Chagos Indian/Christmas Indian/Cocos Indian/Comoro Indian/Kerguelen
    Indian/Mahe Indian/Maldives Indian/Mauritius Indian/Mayotte Indian/Reunion Iran Israel Jamaica
    Japan Kwajalein Libya MET MST MST7MDT Mexico/BajaNorte Mexico/BajaSur Mexico/General NZ NZ-CHAT
    Navajo PRC PST8PDT Pacific/Apia Pacific/Auckland Pacific/Bougainville Pacific/Chatham
    Pacific/Chuuk Pacific/Easter Pacific/Efate Pacific/Enderbury Pacific/Fakaofo Pacific/Fiji
    Pacific/Funafuti Pacific/Galapagos Pacific/Gambier Pacific/Guadalcanal Pacific/Guam
    Pacific/Honolulu Pacific/Johnston Pacific/Kanton Pacific/Kiritimati Pacific/Kosrae
    Pacific/Kwajalein Pacific/Majuro Pacific/Marquesas Pacific/Midway Pacific/Nauru Pacific/Niue
    Pacific/Norfolk Pacific/Noumea Pacific/Pago_Pago Pacific/Palau Pacific/Pitcairn Pacific/Pohnpei
    Pacific/Ponape Pacific/Port_Moresby Pacific/Rarotonga Pacific/Saipan Pacific/Samoa
    Pacific/Tahiti Pacific/Tarawa Pacific/Tongatapu Pacific/Truk Pacific/Wake Pacific/Wallis
    Pacific/Yap Poland Portugal ROC ROK Singapore Turkey UCT US/Alaska US/Aleutian US/Arizona
    US/Central US/East-Indiana US/Eastern US/Hawaii US/Indiana-Starke US/Michigan US/Mountain
    US/Pacific US/Samoa UTC Universal W-SU WET Zulu
"""
TIME_ZONES = tuple(_IANA.split())


@dataclass(frozen=True)
class Type:
    """A column type as each engine spells it.

    A decimal has `precision` digits, of which `scale` stand behind the point.
    """

    kind: str
    duckdb: str
    snowflake: str
    precision: int = 0
    scale: int = 0

    @property
    def spark(self) -> str:
        return {"VARCHAR": "STRING"}.get(self.duckdb, self.duckdb)


TEXT = Type("text", "VARCHAR", "VARCHAR")
TIMESTAMP = Type("timestamp", "TIMESTAMP", "TIMESTAMP_NTZ(6)")
DAY = Type("date", "DATE", "DATE")
INTEGER = Type("integer", "BIGINT", "NUMBER(38,0)")
BYTES = Type("bytes", "BLOB", "BINARY")


def decimal(precision: int, scale: int) -> Type:
    """Return the type of a decimal of `precision` digits, `scale` of them behind the point."""
    name = f"DECIMAL({precision},{scale})"
    return Type("decimal", name, name.replace("DECIMAL", "NUMBER"), precision, scale)


UNIT_PRICE = decimal(18, 6)
MONEY = decimal(18, 4)
RATE = decimal(18, 8)
QUANTITY = decimal(18, 5)
"""Five decimals are the finest that a shop system exports (Square). With the six of a price a
product has eleven, and Snowflake keeps at most twelve of a product."""


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, its type, and what it means."""

    name: str
    type: Type
    description: str


@dataclass(frozen=True)
class Field(Column):
    """One field of a feed.

    `default` stands in for an absent value: a literal, or the name of an earlier field.
    `fold` is the case that the text is brought to. `minimum` and `maximum` are inclusive. `allowed`
    lists the values of a field that does not take all, `ended` those that it takes in events before
    a day.
    """

    required: bool = False
    default: str | None = None
    fold: str | None = None
    allowed: tuple[str, ...] = ()
    ended: tuple[tuple[str, date], ...] = ()
    minimum: Decimal | int | None = None
    maximum: int | None = None

    @property
    def missing(self) -> str:
        return f"missing_{self.name}"

    @property
    def bad(self) -> str:
        return f"bad_{self.name}"


@dataclass(frozen=True)
class Total:
    """A field that is price x quantity - discount: computed when absent, checked when present.

    It may differ by `fixed` + `each` x quantity: a cent, and what rounding the unit price to six
    decimals can add. In WHOLE_CURRENCIES `whole` stands in place of `fixed`: a till rounds the
    price of 0.345 kg to a whole yen. Amounts are kept in the scale of the total; the check is
    exact.
    """

    field: str = "total_amount"
    price: str = "price"
    quantity: str = "quantity"
    discount: str = "discount_amount"
    currency: str = "currency"
    fixed: Decimal = Decimal("0.01")
    whole: Decimal = Decimal(1)
    each: Decimal = Decimal("0.0000005")


@dataclass(frozen=True)
class Feed:
    """One kind of event: its folder under raw/ and bronze/, its fields in order, and its key.

    `total` says which field is a total of others. With `by_day` bronze has a folder for each UTC
    day of `ts`; without, the rows of a raw object stay together, whatever their days.
    """

    name: str
    description: str
    key: str
    fields: tuple[Field, ...]
    total: Total | None = None
    by_day: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reject reason of the feed, in the order in which they are tried."""
        reasons = [UNREADABLE, OVERSIZE, MALFORMED]
        for f in self.fields:
            reasons += [f.missing] * f.required + [f.bad]
        return (*reasons, *([TOTAL_MISMATCH] if self.total else []))

    @cached_property
    def columns(self) -> dict[str, Type]:
        """The columns of an accepted row, in order: the fields, then the technical ones."""
        return {f.name: f.type for f in self.fields} | TECHNICAL


def _types(columns: tuple[Column, ...]) -> dict[str, Type]:
    return {column.name: column.type for column in columns}


_SOURCE_FILE = Column("source_file", TEXT, "Key of the raw object.")
_SOURCE_LINE = Column("source_line", INTEGER, "Line in the raw object, from 1.")
_ARRIVED = "When the raw object arrived in the lake, in UTC."
_INGESTED_AT = Column("ingested_at", TIMESTAMP, _ARRIVED)

TECHNICAL_COLUMNS = (
    _SOURCE_FILE,
    _SOURCE_LINE,
    _INGESTED_AT,
    Column("dt", DAY, "UTC date of ts."),
)
"""Columns that every accepted row has besides the fields of its feed."""

QUARANTINE_COLUMNS = (
    Column("feed", TEXT, "Feed that the line belongs to."),
    Column(
        "reason",
        TEXT,
        "The one reason why it was rejected: the first that applies in the contract's order.",
    ),
    Column(
        "raw",
        BYTES,
        "Bytes of the line, without its line end; of a line that is too long, the first mebibyte; "
        "empty (NULL) for a whole object that cannot be read.",
    ),
    Column("raw_size", INTEGER, "Length of the whole line in bytes."),
    _SOURCE_FILE,
    _SOURCE_LINE,
    _INGESTED_AT,
)
"""Columns of a rejected line."""

RECEIPT_COLUMNS = (
    Column("feed", TEXT, "Feed of the raw object."),
    _SOURCE_FILE,
    Column("size", INTEGER, "Stored bytes."),
    Column("modified_at", TIMESTAMP, _ARRIVED),
    Column("checksum", TEXT, "SHA-256 of the stored bytes."),
    Column("lines", INTEGER, "Lines in the object."),
    Column("blank", INTEGER, "Blank lines."),
    Column("accepted", INTEGER, "Lines accepted."),
    Column("quarantined", INTEGER, "Lines rejected."),
    Column("reasons", TEXT, "JSON object: rejected lines by reason."),
    Column(
        "unknown_fields",
        TEXT,
        "JSON object: for each field that the contract does not know, the number of lines with it.",
    ),
    Column("outputs", TEXT, "JSON object: rows written, by bronze object."),
    Column("cleaner_version", TEXT, "Version of the cleaner."),
    Column("engine", TEXT, "Engine that ran the cleaner."),
    Column("started_at", TIMESTAMP, "Start of the cleaning, in UTC."),
    Column("finished_at", TIMESTAMP, "End of the cleaning, in UTC."),
)
"""Columns of a receipt, one row per raw object."""

LOAD_COLUMNS = (
    Column("bronze_file", TEXT, "Key of the bronze object that the row was loaded from."),
    Column("load_seq", INTEGER, "Number of the load that brought the row; rises with every load."),
    Column("loaded_at", TIMESTAMP, "When it was loaded, in UTC."),
)
"""Columns that a row in the warehouse has besides those of its bronze object."""

TECHNICAL, QUARANTINE = _types(TECHNICAL_COLUMNS), _types(QUARANTINE_COLUMNS)
RECEIPT, LOAD = _types(RECEIPT_COLUMNS), _types(LOAD_COLUMNS)
"""Type by name of these columns."""


def _currency(name: str, description: str, *, default: str | None = "'USD'") -> Field:
    """Return a field that holds the code of a currency; without a default it is required."""
    return Field(
        name,
        TEXT,
        description,
        required=default is None,
        default=default,
        fold="upper",
        allowed=CURRENCIES,
        ended=WITHDRAWN_CURRENCIES,
    )


PURCHASES = Feed(
    name="purchases",
    description="One line of a receipt: a product bought, or returned.",
    key="event_id",
    total=Total(),
    by_day=True,
    fields=(
        Field("event_id", TEXT, "Identity of the event, given by the producer.", required=True),
        Field(
            "event_type",
            TEXT,
            "purchase or return.",
            default="'purchase'",
            fold="lower",
            allowed=("purchase", "return"),
        ),
        Field("ts", TIMESTAMP, "When it happened, in UTC.", required=True),
        Field("store_id", TEXT, "The store.", required=True),
        Field("product_id", TEXT, "The product.", required=True),
        Field("customer_id", TEXT, "The customer; absent for a guest."),
        Field("basket_id", TEXT, "The receipt; event_id when absent.", default="event_id"),
        Field("category", TEXT, "Category as the till names it.", fold="lower"),
        Field("payment_method", TEXT, "card, cash ...", fold="lower"),
        Field("channel", TEXT, "store, web ...", fold="lower"),
        _currency("currency", "ISO 4217 code of the amounts."),
        Field("price", UNIT_PRICE, "Unit price before discount.", required=True, minimum=0),
        Field(
            "quantity",
            QUANTITY,
            "Units, or the weight or length of what is sold by it; above 0 for a return too, the "
            "sign comes from event_type.",
            required=True,
            minimum=Decimal("0.00001"),
            maximum=999_999_999,
        ),
        Field("discount_amount", MONEY, "Discount on the line.", default="0", minimum=0),
        Field("tax_amount", MONEY, "Tax on the line, not in total_amount.", default="0", minimum=0),
        Field("total_amount", MONEY, "price x quantity - discount_amount; computed when absent."),
        Field(
            "original_event_id", TEXT, "Of a return: event_id of the purchase that was returned."
        ),
        Field(
            "schema_version",
            INTEGER,
            "Version of the event contract that the producer follows.",
            default="1",
            minimum=1,
            maximum=999_999_999,
        ),
        Field(
            "corrected_at",
            TIMESTAMP,
            "When the producer corrected the event, in UTC; absent in the first copy. Of the "
            "copies of an event the last correction counts, and among equals the first arrival.",
        ),
        Field(
            "return_reason",
            TEXT,
            "Of a return: why it came back, in the words of the till.",
            fold="lower",
        ),
    ),
)

PRODUCTS = Feed(
    name="products",
    description="A product as it is from `ts` on; each change is a new event.",
    key="product_id",
    fields=(
        Field("product_id", TEXT, "The product.", required=True),
        Field("ts", TIMESTAMP, "From when this holds, in UTC.", required=True),
        Field("product_name", TEXT, "Name for people."),
        Field("brand", TEXT, "Brand or manufacturer."),
        Field("category", TEXT, "Merchandising category.", fold="lower"),
        Field("department", TEXT, "Merchandising department.", fold="lower"),
        _currency("currency", "ISO 4217 code of price and cost."),
        Field("price", UNIT_PRICE, "List price of a unit.", minimum=0),
        Field("cost", UNIT_PRICE, "Cost of a unit.", minimum=0),
    ),
)

STORES = Feed(
    name="stores",
    description="A store as it is from `ts` on.",
    key="store_id",
    fields=(
        Field("store_id", TEXT, "The store.", required=True),
        Field("ts", TIMESTAMP, "From when this holds, in UTC.", required=True),
        Field("store_name", TEXT, "Name for people."),
        Field("city", TEXT, "City."),
        Field("country", TEXT, "ISO 3166-1 alpha-2 code.", fold="upper"),
        Field(
            "time_zone",
            TEXT,
            "IANA time zone; decides the store-local day. Absent: that of the settings.",
            allowed=TIME_ZONES,
        ),
        _currency("currency", "ISO 4217 code that the store sells in."),
        Field("opened_on", DAY, "First day of trade."),
        Field("closed_on", DAY, "First day without trade; absent while open."),
    ),
)

FX_RATES = Feed(
    name="fx_rates",
    description="What one unit of `currency` is worth in `reporting_currency` from `ts` on.",
    key="currency",
    fields=(
        _currency("currency", "ISO 4217 code.", default=None),
        Field("ts", TIMESTAMP, "From when this holds, in UTC.", required=True),
        _currency("reporting_currency", "ISO 4217 code."),
        Field("rate", RATE, "Units of the reporting currency.", required=True, minimum=0),
    ),
)

TARGETS = Feed(
    name="targets",
    description="The net sales that a store aims at on a day. Of several targets of a store and "
    "day, that with the latest `ts` counts.",
    key="store_id",
    fields=(
        Field("store_id", TEXT, "The store.", required=True),
        Field("ts", TIMESTAMP, "When the target was set, in UTC.", required=True),
        Field("sales_date", DAY, "Store-local day.", required=True),
        Field(
            "currency",
            TEXT,
            "ISO 4217 code of the target.",
            default="'USD'",
            fold="upper",
            allowed=CURRENCIES,
        ),
        Field(
            "net_sales_target", MONEY, "Net sales aimed at, tax excluded.", required=True, minimum=0
        ),
    ),
)

FEEDS = {f.name: f for f in (PURCHASES, PRODUCTS, STORES, FX_RATES, TARGETS)}


def feed_of(key: str) -> Feed:
    """Return the feed of a raw object: that of its first folder under raw/, else purchases."""
    parts = key.split("/")
    return FEEDS.get(parts[1], PURCHASES) if len(parts) > 2 else PURCHASES
