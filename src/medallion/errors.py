"""What an operator must mend, as one tree; the command line prints one line of it and exits 2.

    MedallionError
    ├── SettingsError     an option, variable or file that cannot be used as given
    ├── LakeError         raw/, bronze/ or gold/ cannot be read or written
    ├── WarehouseError    the warehouse is missing, locked or refuses
    ├── HomeBusy          another runner works on this home
    ├── TransformError    dbt ended with an error
    ├── DashboardError    the dashboard has nothing to show, or cannot be shown
    └── ExportError       an export cannot be written

A bad line is never an error: it is a row of the quarantine.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MedallionError(Exception):
    """Base of all: the message says what is wrong and how to mend it, in one line."""


class SettingsError(MedallionError):
    """An option, variable or file that cannot be used as given."""


class LakeError(MedallionError):
    """raw/, bronze/ or gold/ cannot be read or written."""


class WarehouseError(MedallionError):
    """The warehouse is missing, locked or refuses."""


class HomeBusy(MedallionError):
    """Another runner works on this home."""


class TransformError(MedallionError):
    """dbt ended with an error."""


class DashboardError(MedallionError):
    """The dashboard has nothing to show, or cannot be shown."""


class ExportError(MedallionError):
    """An export cannot be written."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the known word nearest to one that is not known;
    nothing when none is near."""
    near = difflib.get_close_matches(word, [*known], 1)
    return f"; did you mean {near[0]}?" if near else ""
