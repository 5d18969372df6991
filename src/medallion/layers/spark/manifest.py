"""The run under way on a cluster: first its raw objects, then the moves that publish its outputs.

A lake has at most one, in a register, and each step is one change of the register:
no run -> raw objects -> moves -> no run. So any number of jobs can work on it, and any of them may
die. A job that reads raw objects computes the outputs in a folder of its own; of several jobs the
first one stores its moves. A job that reads moves makes them, and keys that exist already stay as
they are. No job waits for another one or for a timeout.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from medallion.errors import LakeError
from medallion.lake.seals import Damaged, sealed_text, unsealed
from medallion.platforms.lake import LakeObject
from medallion.platforms.register import Register

RUNS = "tmp/runs"
RUN_UNDER_WAY = f"{RUNS}/current.json"


def _nonce() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Manifest:
    """The state of a run.

    `run` is a hash of the raw objects: the same ones give the same name, and so the same keys.
    `moves` are pairs of a temporary and a final key, in the order of publication; None until they
    are computed. `nonce` makes each state unique.
    """

    run: str
    objects: tuple[LakeObject, ...]
    moves: tuple[tuple[str, str], ...] | None = None
    nonce: str = field(default_factory=_nonce)

    @property
    def folder(self) -> str:
        """Return the folder in which jobs write its outputs."""
        return f"{RUNS}/{self.run}"

    def planned(self, moves: Iterable[tuple[str, str]]) -> Manifest:
        """Return the next state, with its moves."""
        return replace(self, moves=tuple(moves), nonce=_nonce())


def manifest_of(objects: Iterable[LakeObject]) -> Manifest:
    """Return a new run over raw objects."""
    ordered = tuple(sorted(objects))
    versions = json.dumps([(o.key, o.version) for o in ordered])
    return Manifest(f"run-{hashlib.sha256(versions.encode()).hexdigest()[:24]}", ordered)


class RunUnderWay:
    """The register of the run under way, with the tag of the state that was last read."""

    def __init__(self, register: Register) -> None:
        self._register, self._tag = register, ""

    def read(self) -> Manifest | None:
        """Return the run under way; None when there is none."""
        text, self._tag = self._register.read()
        return _read(text) if text else None

    def replace(self, manifest: Manifest | None) -> bool:
        """Store the next state; return False when another job has done so since the last read."""
        tag = self._register.swap(_written(manifest) if manifest else "", self._tag)
        if tag is not None:
            self._tag = tag
        return tag is not None


def _written(manifest: Manifest) -> str:
    rows = [asdict(o) | {"modified": o.modified.isoformat()} for o in manifest.objects]
    state = {"run": manifest.run, "objects": rows, "moves": manifest.moves}
    return sealed_text(state | {"nonce": manifest.nonce})


def _read(text: str) -> Manifest:
    try:
        state = unsealed(text, RUN_UNDER_WAY)
    except Damaged as error:
        raise LakeError(f"{error}: remove it, and the next job begins the run anew") from error
    objects = (
        LakeObject(r["key"], r["size"], datetime.fromisoformat(r["modified"]), r["version"])
        for r in state["objects"]
    )
    moves = state["moves"]
    moves = None if moves is None else tuple((source, target) for source, target in moves)
    return Manifest(state["run"], tuple(objects), moves, state["nonce"])
