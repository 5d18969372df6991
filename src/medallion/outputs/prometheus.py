"""The counters of a home in the text format of Prometheus, for node exporter's textfiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medallion.errors import SettingsError
from medallion.operations.freshness import Freshness
from medallion.operations.status import Layer
from medallion.platforms.local import sync

SUFFIX = ".prom"
"""The ending of the files that the collector reads."""


def write_textfile(path: Path, layers: Sequence[Layer], fresh: Freshness) -> None:
    """Replace a file atomically: the collector never reads an incomplete one.

    Raises:
        SettingsError: the collector would not read a file of this name.
    """
    if path.suffix != SUFFIX or not path.absolute().parent.is_dir():
        raise SettingsError(
            f"{path} must be a file in an existing folder, and its name must end in {SUFFIX}: node "
            "exporter reads no other"
        )
    # The collector skips names with another ending.
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text("\n".join(_lines(layers, fresh)) + "\n", encoding="utf-8")
    sync(temporary)
    temporary.replace(path)


def _lines(layers: Sequence[Layer], fresh: Freshness) -> Iterable[str]:
    yield from _gauge(
        "medallion_layer_count",
        "What a layer holds.",
        [({"layer": row.layer, "unit": row.unit}, row.count) for row in layers if row.is_built],
    )
    yield from _gauge(
        "medallion_layer_newest_timestamp_seconds",
        "The time of the newest content of a layer.",
        [
            ({"layer": row.layer, "unit": row.unit}, row.newest.timestamp())
            for row in layers
            if row.newest
        ],
    )
    ages = {"newest_event": fresh.newest_event, "last_batch": fresh.last_batch}
    yield from _gauge(
        "medallion_age_seconds",
        "The age of the newest event and of the last batch.",
        [({"of": name}, age) for name, age in ages.items() if age is not None],
    )
    yield from _gauge(
        "medallion_state", "1 for the state of the home.", [({"state": str(fresh.state)}, 1)]
    )


def _gauge(
    name: str, meaning: str, samples: Sequence[tuple[Mapping[str, str], float]]
) -> Iterable[str]:
    """Yield a metric; one without a sample is left out, because unknown is not 0."""
    if samples:
        yield f"# HELP {name} {meaning}"
        yield f"# TYPE {name} gauge"
    for labels, value in samples:
        named = ",".join(f'{key}="{text}"' for key, text in labels.items())
        yield f"{name}{{{named}}} {value:.15g}"
