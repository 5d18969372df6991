"""Decisions about rejected lines: mended and sent again, or waived.

They are stored in raw/, because they are inputs like the raw objects.
"""

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
"""The possible decisions. A rejected line without a decision is open."""


@dataclass(frozen=True)
class Decision:
    """A decision about lines of a raw object.

    `lines` has the number of each line and the checksum of its text. If the text at that place
    changes, the decision no longer applies. `why` is a person's reason, or the changes that were
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
    """Return the checksum by which a decision identifies the text of a line."""
    return hashlib.sha256(text).hexdigest()[:16]


def decide(lake: Lake, decision: Decision) -> None:
    """Store a decision; storing the same one again changes nothing."""
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
"""The checksum and the state of lines, by object and line number."""


def states(lake: Lake) -> States:
    """Return the states of all lines with a decision."""
    decided: States = {}
    for decision in decisions(lake):
        of_object = decided.setdefault(decision.source_file, {})
        for number, checksum in decision.lines.items():
            of_object[int(number)] = checksum, decision.state
    return decided
