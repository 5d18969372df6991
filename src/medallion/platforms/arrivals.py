"""Arrival notes: the original arrival of an object that was rewritten later.

A store that sets the time of every write itself forgets the arrival of an object that is rewritten.
A note keeps it: an empty object whose name holds a hash of the key, the time of the rewriting and
the time of the arrival.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from medallion.platforms.lake import LakeObject, is_finished, milliseconds, moment

REWRITTEN = "raw/"
"""The folder of the objects that keep their arrival."""

NOTES = f"{REWRITTEN}.arrivals/"


def lists_notes(prefix: str) -> bool:
    """Return whether a listing of a prefix contains every note about its objects."""
    return NOTES.startswith(prefix) or not prefix.startswith(REWRITTEN)


def notes_of(key: str) -> str:
    """Return the prefix of all notes about a key."""
    return f"{NOTES}{hashlib.sha256(key.encode()).hexdigest()[:16]}-"


def note_key(rewritten: LakeObject, arrived: datetime) -> str:
    """Return the key of the note about an object, as the store lists it."""
    return f"{_about(rewritten)}-{milliseconds(arrived)}"


def _about(stored: LakeObject) -> str:
    return f"{notes_of(stored.key)}{milliseconds(stored.modified)}"


def finished(listed: Iterable[LakeObject], keys: Iterable[str]) -> Iterator[LakeObject]:
    """Yield the finished objects of a listing, with the arrival from their note if there is one.

    A note is valid for one writing: what a producer writes under the key later has its own time.

    Args:
        listed: objects as the store lists them.
        keys: keys among which the notes are.
    """
    notes = (re.fullmatch(rf"({re.escape(NOTES)}[0-9a-f]+-\d+)-(\d+)", key) for key in keys)
    arrivals = {note[1]: moment(int(note[2])) for note in notes if note}
    for stored in listed:
        if is_finished(stored.key):
            arrived = arrivals.get(_about(stored)) if arrivals else None
            yield replace(stored, modified=arrived) if arrived else stored
