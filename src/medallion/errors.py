"""What an operator must mend, as one tree; the command line prints one line of it and exits 2.

    MedallionError
    ├── SettingsError     an option, variable or file that cannot be used as given
    ├── LakeError         raw/, bronze/ or gold/ cannot be read or written
    ├── WarehouseError    the warehouse is missing, locked or refuses
    ├── HomeBusy          another runner works on this home
    ├── TransformError    dbt ended with an error
    ├── DashboardError    the dashboard cannot be shown
    │   └── NothingYet    no snapshot with a sale has been published so far
    └── ExportError       an export cannot be written

A bad line is never an error: it is a row of the quarantine.
"""


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
    """The dashboard cannot be shown."""


class NothingYet(DashboardError):
    """No snapshot with a sale has been published so far."""


class ExportError(MedallionError):
    """An export cannot be written."""
