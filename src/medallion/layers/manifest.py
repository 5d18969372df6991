"""What a run on a cluster has undertaken: first its raw objects, then what it is about to publish.

Both are written down before they are acted on, so that a run that was killed anywhere is taken up
by the next one, to the same names. A manifest that has no plan has published nothing: its work is
thrown away and done again. One that has a plan is published to the end. The folder of a run goes
last, when its receipts are published.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from medallion.platforms.hadoop import HadoopLake
from medallion.platforms.lake import LakeObject

RUNS = "tmp/runs"


@dataclass(frozen=True)
class Manifest:
    """The raw objects of one run. `run` is derived from them: the same objects give the same
    name."""

    run: str
    objects: tuple[LakeObject, ...]

    @property
    def folder(self) -> str:
        """Where the run keeps what is not finished."""
        return f"{RUNS}/{self.run}"


def manifest_of(objects: Iterable[LakeObject]) -> Manifest:
    """The manifest of these objects."""
    ordered = tuple(sorted(objects))
    told = json.dumps([(o.key, o.version) for o in ordered])
    return Manifest(f"run-{hashlib.sha256(told.encode()).hexdigest()[:24]}", ordered)


def save(lake: HadoopLake, manifest: Manifest) -> None:
    """Writes a manifest down: from here on its run will be finished."""
    rows = [asdict(o) | {"modified": o.modified.isoformat()} for o in manifest.objects]
    lake.write(f"{manifest.folder}/manifest.json", json.dumps(rows))


def unfinished(lake: HadoopLake) -> list[Manifest]:
    """The runs that were begun and not finished, in the order of their names."""
    found = (o.key for o in lake.list(RUNS))
    return [_read(lake, key) for key in found if key.endswith("/manifest.json")]


def _read(lake: HadoopLake, key: str) -> Manifest:
    rows = json.loads(lake.read(key))
    objects = (
        LakeObject(r["key"], r["size"], datetime.fromisoformat(r["modified"]), r["version"])
        for r in rows
    )
    return Manifest(key.split("/")[2], tuple(objects))


def save_plan(lake: HadoopLake, manifest: Manifest, moves: Iterable[tuple[str, str]]) -> None:
    """Writes down what will be published: temporary key and final key, in the order in which they
    must appear."""
    lake.write(f"{manifest.folder}/plan.json", json.dumps(list(moves)))


def read_plan(lake: HadoopLake, manifest: Manifest) -> list[tuple[str, str]] | None:
    """What a run was about to publish; None when it had not come so far."""
    key = f"{manifest.folder}/plan.json"
    if not lake.exists(key):
        return None
    return [(source, target) for source, target in json.loads(lake.read(key))]
