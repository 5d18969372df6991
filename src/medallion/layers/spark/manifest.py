"""The run on a cluster that is under way: first its raw objects, then what it is about to publish.

A lake has one at a time, in one register, and each step of it is one change of that register:
nothing under way -> these raw objects -> these moves -> nothing under way. So it does not matter
how many jobs work on it, and which of them are alive. Who finds raw objects computes, in a folder
of its own, and of several that did the first one's moves are written down; who finds moves makes
them, and what is moved already stays. A killed job holds nothing back, and nobody waits for a
clock.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from medallion.platforms.lake import LakeObject
from medallion.platforms.register import Register

RUNS = "tmp/runs"
CURRENT = f"{RUNS}/current.json"


def _nonce() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Manifest:
    """A run under way. `run` is derived from the raw objects: the same ones give the same name, and
    so the same outputs. `moves` are temporary and final keys in the order in which they must
    appear; None as long as they are not known. `nonce` tells this state from every other one."""

    run: str
    objects: tuple[LakeObject, ...]
    moves: tuple[tuple[str, str], ...] | None = None
    nonce: str = field(default_factory=_nonce)

    @property
    def folder(self) -> str:
        """Where jobs keep what they make of it."""
        return f"{RUNS}/{self.run}"

    def planned(self, moves: Iterable[tuple[str, str]]) -> Manifest:
        """What follows when the moves are known."""
        return replace(self, moves=tuple(moves), nonce=_nonce())


def manifest_of(objects: Iterable[LakeObject]) -> Manifest:
    """The run of these objects."""
    ordered = tuple(sorted(objects))
    told = json.dumps([(o.key, o.version) for o in ordered])
    return Manifest(f"run-{hashlib.sha256(told.encode()).hexdigest()[:24]}", ordered)


class Current:
    """The run under way, as it was last seen."""

    def __init__(self, register: Register) -> None:
        self._register, self._tag = register, ""

    def read(self) -> Manifest | None:
        """Looks; None when nothing is under way."""
        text, self._tag = self._register.read()
        return _read(text) if text else None

    def follows(self, manifest: Manifest | None) -> bool:
        """Puts the next state in place of the one last seen; False when another job has done so
        first."""
        tag = self._register.swap(_written(manifest) if manifest else "", self._tag)
        if tag is not None:
            self._tag = tag
        return tag is not None


def _written(manifest: Manifest) -> str:
    rows = [asdict(o) | {"modified": o.modified.isoformat()} for o in manifest.objects]
    told = {"run": manifest.run, "objects": rows, "moves": manifest.moves}
    return json.dumps(told | {"nonce": manifest.nonce})


def _read(text: str) -> Manifest:
    told = json.loads(text)
    objects = (
        LakeObject(r["key"], r["size"], datetime.fromisoformat(r["modified"]), r["version"])
        for r in told["objects"]
    )
    moves = told["moves"]
    moves = None if moves is None else tuple((source, target) for source, target in moves)
    return Manifest(told["run"], tuple(objects), moves, told["nonce"])
