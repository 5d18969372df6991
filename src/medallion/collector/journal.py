"""The record of accepted requests, so that a request that is sent again is stored only once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from medallion.platforms.lake import Lake
from medallion.platforms.local import append, make_folder

KEPT = timedelta(days=7)
"""How long a request is remembered; senders give up earlier (Shopify after 48 hours)."""


@dataclass(frozen=True)
class Taken:
    """A request with an id: the checksum of its body, and the place of its lines."""

    id: str
    checksum: str
    key: str
    first_line: int
    lines: int


class Journal:
    """The requests of the last days, kept in one file for each day.

    A request is recorded before its object is stored. It counts as accepted only if the object
    exists, so a kill at any moment neither loses lines nor stores them twice.
    """

    def __init__(self, folder: Path, lake: Lake, now: datetime) -> None:
        self._folder, self._lake = folder, lake
        self._requests: dict[str, Taken] = {}
        make_folder(folder)
        first = _name(now - KEPT)
        for path in sorted(folder.glob("requests-*.ndjson")):
            if path.name < first:
                path.unlink()
            else:
                self._read(path)

    def _read(self, path: Path) -> None:
        for line in path.read_bytes().splitlines():
            try:
                request = Taken(**json.loads(line))
            except (ValueError, TypeError):
                continue  # a kill cut the last line, whose object does not exist
            self._requests[request.id] = request

    def find(self, id: str) -> Taken | None:
        """Return an accepted request; None if its lines are not in raw/."""
        request = self._requests.get(id)
        if request and any(o.key == request.key for o in self._lake.list(request.key)):
            return request
        return None

    def note(self, requests: Iterable[Taken]) -> None:
        """Record requests durably."""
        if not (new := list(requests)):
            return
        text = "".join(json.dumps(asdict(request)) + "\n" for request in new)
        # It begins with a line feed, because a kill may have cut the line before.
        append(self._folder / _name(datetime.now(UTC)), f"\n{text}".encode())
        self._requests |= {request.id: request for request in new}


def _name(day: datetime) -> str:
    return f"requests-{day:%Y-%m-%d}.ndjson"
