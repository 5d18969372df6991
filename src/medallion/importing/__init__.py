"""Real data into raw/: anyone's files by a mapping, and the Complete Journey data set.

Every value reaches the raw JSON exactly as the source has it, and a second import of the same
source adds nothing: objects are named after the content that they were made from.
"""

from medallion.importing.complete_journey import import_complete_journey
from medallion.importing.files import import_files
from medallion.importing.report import Failure, FeedReport, ImportReport

__all__ = ["Failure", "FeedReport", "ImportReport", "import_complete_journey", "import_files"]
