"""Decisions about rejected lines: mended and sent again, or waived. They lie in raw/, as inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from medallion.lake.raw import DECISIONS
from medallion.lake.receipts import key_stem
from medallion.platforms.lake import Lake

SUFFIX = ".decision"
MENDED, WAIVED = "mended", "waived"
"""What may be decided. A rejected line without a decision is open."""


@dataclass(frozen=True)
class Decision:
    """What was decided about lines of a raw object.

    `lines` has the number of each line and the checksum of its text: if another text stands there
    one day, nothing was decided about it. `why` is a person's reason, or the changes that were
    made; `sent_to` is the raw object with the mended lines.
    """

    state: str
    feed: str
    source_file: str
    lines: Mapping[str, str]
    why: str
    sent_to: str = ""
    decided_at: str = field(default="", compare=False)


def text_checksum(text: bytes) -> str:
    """Return the checksum by which a decision knows the text of a line."""
    return hashlib.sha256(text).hexdigest()[:16]


def decide(lake: Lake, decision: Decision) -> None:
    """Keep a decision; the same one again changes nothing."""
    content = asdict(decision) | {"lines": dict(decision.lines)}
    name = text_checksum(json.dumps(content | {"decided_at": ""}, sort_keys=True).encode())
    key = f"{DECISIONS}{key_stem(decision.source_file)}-{name}{SUFFIX}"
    if not any(stored.key == key for stored in lake.list(key)):
        lake.put(key, json.dumps(content, ensure_ascii=False, indent=1).encode())


def decisions(lake: Lake) -> Iterator[Decision]:
    """Yield all decisions."""
    for stored in lake.list(DECISIONS):
        if stored.key.endswith(SUFFIX):
            with lake.open(stored.key) as stream:
                yield Decision(**json.loads(stream.read()))


States = dict[str, dict[int, tuple[str, str]]]
"""Checksum and state of lines, by object and number."""


def states(lake: Lake) -> States:
    """Return the states of all lines that were decided."""
    decided: States = {}
    for decision in decisions(lake):
        of_object = decided.setdefault(decision.source_file, {})
        for number, checksum in decision.lines.items():
            of_object[int(number)] = checksum, decision.state
    return decided
