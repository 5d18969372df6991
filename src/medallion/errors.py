"""The errors that an operator must mend, as one tree.

The command line prints the message and exits with code 2, or 1 for LossError.

    MedallionError
    ├── SettingsError     an option, variable or file that cannot be used as given
    ├── LakeError         raw/, bronze/ or gold/ cannot be read or written
    ├── WarehouseError    the warehouse is missing, locked or refuses
    │   ├── WarehouseBusy another process has opened its file
    │   └── WarehouseDamaged its file cannot be read
    ├── HomeBusy          another runner works on this home
    ├── TransformError    dbt ended with an error
    ├── MetricError       a metric cannot be evaluated
    ├── DashboardError    the dashboard cannot be shown
    │   ├── NothingYet    no snapshot with a sale has been published so far
    │   └── SnapshotGone  a snapshot was removed while it was read
    ├── ExportError       an export cannot be written
    └── LossError         a command would lose rows, and was not carried out

A bad line is never an error: it is a row of the quarantine.
"""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable, Sequence

SHOWN = 20
"""How many names of a list are shown."""


class MedallionError(Exception):
    """The base of all errors; its message says in one line what is wrong and how to mend it."""

    exit_code = 2


class SettingsError(MedallionError):
    """An option, variable or file that cannot be used as given."""


class LakeError(MedallionError):
    """raw/, bronze/ or gold/ cannot be read or written."""


class WarehouseError(MedallionError):
    """The warehouse is missing, locked or refuses."""


class WarehouseBusy(WarehouseError):
    """Another process has opened the file of the warehouse."""


class WarehouseDamaged(WarehouseError):
    """The file of the warehouse cannot be read, and must be made again from bronze."""


class HomeBusy(MedallionError):
    """Another runner works on this home."""


class TransformError(MedallionError):
    """dbt ended with an error."""


class MetricError(MedallionError):
    """The definition of a metric cannot be used, or a measure that it needs is missing."""


class DashboardError(MedallionError):
    """The dashboard cannot be shown."""


class NothingYet(DashboardError):
    """No snapshot with a sale has been published so far."""


class SnapshotGone(DashboardError):
    """A snapshot was removed while it was read; there is a newer one."""


class ExportError(MedallionError):
    """An export cannot be written."""


class LossError(MedallionError):
    """A command would lose rows, and was not carried out; `names` are the objects concerned."""

    exit_code = 1

    def __init__(self, message: str, names: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.names = tuple(names)


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or one that caused it, says that a disk has no room left.

    DuckDB and dbt pass on only the text of the system.
    """
    texts = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)]
    while error is not None:
        if any(text in str(error) for text in texts):
            return True
        error = error.__cause__ or error.__context__
    return False


def shortened(names: Iterable[str]) -> tuple[str, ...]:
    """Return the first names, and a last line that says how many more there are."""
    lines = tuple(names)
    left = len(lines) - SHOWN
    return (*lines[:SHOWN], *([f"... and {left:,} more"] if left > 0 else []))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a message that suggests the most similar known word, if any.

    The case of letters does not matter.
    """
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), folded, 1)
    return f"; did you mean {folded[near[0]]}?" if near else ""
