"""The files that are generated from the contract: other tools accept them, and they decide as the
cleaner does."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from medallion.cleaning.exact import JsonNumber, Validator, Verdict, read_object
from medallion.contract import (
    DATE,
    EPOCH_MS,
    FEEDS,
    MAX_LINE_BYTES,
    NUMBER,
    RFC3339,
    WHITE_SPACE,
    Feed,
)
from tests.conformance.cases import read_cases
from tests.conformance.damage import damaged
from tests.conftest import ROOT
from tests.environments import environment

LOCK = Path(__file__).with_name("datacontract.lock")
CONTRACTS = ROOT / "contracts"
SCHEMAS = {
    name: Draft202012Validator(json.loads((CONTRACTS / f"{name}.schema.json").read_text()))
    for name in FEEDS
}
DAMAGED = 2
WRITTEN = {"decimal": (NUMBER,), "integer": (NUMBER,), "date": (DATE,), "text": ()}
WRITTEN |= {"timestamp": (RFC3339, EPOCH_MS)}
"""The forms of a text that a schema knows of, by the kind of the field."""


@pytest.fixture(scope="module")
def lint() -> Callable[[Path], subprocess.CompletedProcess[str]]:
    """`datacontract lint` of a file."""
    program = environment("datacontract", LOCK) / "bin" / "datacontract"

    def run(path: Path) -> subprocess.CompletedProcess[str]:
        command = [program, "lint", "--all-errors", path]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def test_datacontract_accepts_the_data_contract(lint: Any, tmp_path: Path) -> None:
    """`datacontract lint` finds nothing in the contract, and finds a type that does not exist."""
    done = lint(CONTRACTS / "retail.odcs.yaml")
    assert done.returncode == 0 and "valid against ODCS v3.1.0" in done.stdout, done.stdout
    text = (CONTRACTS / "retail.odcs.yaml").read_text()
    planted = tmp_path / "planted.odcs.yaml"
    planted.write_text(text.replace("logicalType: timestamp", "logicalType: moment", 1))
    assert lint(planted).returncode == 1


@pytest.mark.parametrize("feed", FEEDS)
def test_schemas_are_schemas(feed: str) -> None:
    """Each is a JSON Schema of draft 2020-12."""
    Draft202012Validator.check_schema(SCHEMAS[feed].schema)


def test_schemas_decide_the_cases_as_the_cleaner_does(
    record_property: Callable[[str, int], None],
) -> None:
    """Each line of the conformance cases, and each damaged at random, is valid when it is accepted,
    and invalid when it is rejected for something that JSON Schema can say."""
    counts, chance = Counter[str](), Random(16)
    for case in read_cases():
        for line in case.data.removeprefix(b"\xef\xbb\xbf").split(b"\n")[: len(case.expect)]:
            copies = [damaged(chance, line) for _ in range(DAMAGED)] if len(line) < 2000 else []
            for each in (line, *copies):
                counts += compare(FEEDS[case.feed], each)
    for outcome, count in counts.items():
        record_property(f"lines that the JSON Schemas see as {outcome}", count)
    assert min(counts["valid"], counts["invalid"]) > 300, counts
    assert counts["beyond"] < counts["invalid"] / 4, counts


def compare(feed: Feed, line: bytes) -> Counter[str]:
    """Hold the schema of a feed against the cleaner for one line: count it as "valid" or "invalid"
    where both say so, as "beyond" where JSON Schema cannot say what the cleaner does. Fail where
    they differ for another reason."""
    members = read_object(line)
    if members is None or len(line) > MAX_LINE_BYTES:
        return Counter()
    verdict = Validator(feed).validate(line, len(line))
    is_valid = SCHEMAS[feed.name].is_valid({name: plain(value) for name, value in members.items()})
    if is_valid == (verdict.reason is None):
        return Counter(["valid" if is_valid else "invalid"])
    assert is_beyond_json_schema(feed, members, verdict), (verdict.reason, is_valid, line)
    return Counter(["beyond"])


def plain(value: Any) -> Any:
    """Return a value as JSON Schema sees it; arrays and objects become empty ones."""
    if type(value) is JsonNumber:
        number = Decimal(value)
        is_short = number.adjusted() < 1000
        return int(number) if is_short and number == number.to_integral_value() else number
    return [] if isinstance(value, list) else {} if isinstance(value, tuple) else value


def is_beyond_json_schema(feed: Feed, members: dict[str, Any], verdict: Verdict) -> bool:
    """Return whether the cleaner decides about a line by what `json_schema.LIMITS` names."""
    if feed.total and verdict.reason == "total_mismatch":
        return True
    blamed = [f for f in feed.fields if verdict.reason in (None, f.bad)]
    for field in blamed:
        given = members.get(field.name)
        if given is None:
            if feed.total and field.name == feed.total.field and verdict.reason == field.bad:
                return True  # the total that is computed has too many digits
        elif type(given) is JsonNumber:
            if field.type.kind in ("text", "timestamp") and not given.isdigit():
                return True
            if field.type.kind in ("decimal", "integer") and is_rounded(given, field.type.scale):
                return True
        elif isinstance(given, str):
            text = given.strip(WHITE_SPACE)
            if text.upper() in dict(field.ended) and verdict.reason == field.bad:
                return True
            if any(re.fullmatch(form, text) for form in WRITTEN[field.type.kind]):
                return True
    return False


def is_rounded(number: str, scale: int) -> bool:
    """Return whether a number has more decimals than are kept."""
    exponent = Decimal(number).normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent < -scale
