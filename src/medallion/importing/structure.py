"""The structure of a source: its columns, and the members below them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from medallion.errors import SettingsError
from medallion.importing.expressions import Path

Structure = dict[str, Any] | list[Any] | str
"""Members by name, the elements of an array (as a list of one), or the name of a type."""

ANY = ("JSON", "NULL")
"""Types of values that may have any members."""

MAX_MEMBERS = 10_000
"""The number of members of an object whose names are kept; a larger object accepts any name."""


def find(structure: Structure, path: Path) -> Path | None:
    """Return a path with the names as the source writes them; None if the source lacks it.

    A name may differ in case from that of the source, if only one name of the source matches.

    Raises:
        SettingsError: several names differ only in case, and none of them is exactly the one in the
            path.
    """
    if not path or structure in ANY:
        return path
    first, rest = path[0], path[1:]
    if isinstance(structure, dict) and isinstance(first, str):
        name = _name(first, structure)
        below = find(structure[name], rest) if name is not None else None
        return None if name is None or below is None else (name, *below)
    if isinstance(structure, list) and isinstance(first, int):
        below = find(structure[0], rest) if structure else rest
        return None if below is None else (first, *below)
    return None


def element(structure: Structure) -> Structure:
    """Return the structure of the elements of an array, or of a value that is not in one."""
    if isinstance(structure, list):
        return structure[0] if structure else "NULL"
    return structure


def below(structure: Structure, path: Path) -> Structure:
    """Return the structure at a path that `find` has returned."""
    for step in path:
        if structure in ANY:
            return "JSON"
        structure = element(structure) if isinstance(step, int) else structure[step]  # type: ignore
    return structure


def merged(one: Structure, other: Structure) -> Structure:
    """Return the structure of values of which some have one structure and some the other."""
    if one == other or other == "NULL":
        return one
    if one == "NULL":
        return other
    if isinstance(one, list) and isinstance(other, list):
        return [merged(element(one), element(other))]
    if isinstance(one, dict) and isinstance(other, dict):
        both = one | other
        common = one.keys() & other.keys()
        both |= {name: merged(one[name], other[name]) for name in common}
        return both if len(both) <= MAX_MEMBERS else "JSON"
    return "JSON"


def of_arrow(kind: pa.DataType) -> Structure:
    """Return the structure of an Arrow type."""
    if pa.types.is_struct(kind):
        return {field.name: of_arrow(field.type) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [of_arrow(kind.value_type)]
    return "JSON" if pa.types.is_map(kind) else "value"


def _name(name: str, names: Iterable[str]) -> str | None:
    if name in names:
        return name
    similar = [n for n in names if n.lower() == name.lower()]
    if len(similar) > 1:
        raise SettingsError(
            f"{' and '.join(similar)} differ only in case: write the one that is meant, "
            f"in double quotes, instead of {name}"
        )
    return similar[0] if similar else None
