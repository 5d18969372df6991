"""Imports of real data into raw/: files of any user by a mapping, and the Complete Journey.

Every value is in the raw JSON exactly as in the source. A second import of the same source adds
nothing, because objects are named by a hash of the source.
"""

from medallion.importing.complete_journey import import_complete_journey
from medallion.importing.files import import_files
from medallion.importing.preview import Preview, preview_files
from medallion.importing.report import Failure, FeedReport, ImportReport

__all__ = [
    "Failure",
    "FeedReport",
    "ImportReport",
    "Preview",
    "import_complete_journey",
    "import_files",
    "preview_files",
]
