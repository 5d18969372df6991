"""Packing of the modules that the Glue job imports: `python src/glue/package.py OUT.zip`.

The compiler of the cleaner is not in it: the service installs it by `--additional-python-modules`
(infra/terraform, `glue_python_modules`). The same sources always give the same bytes, so an upload
by checksum happens only when the code has changed.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

SOURCES = Path(__file__).parents[1]
PARTS = (
    "medallion/*.py",
    *(f"medallion/{room}/**/*.py" for room in ("cleaning", "lake", "layers", "platforms")),
)
FIRST_DAY = (1980, 1, 1, 0, 0, 0)


def pack(target: Path) -> None:
    """Write the zip file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    paths = sorted(path for part in PARTS for path in SOURCES.glob(part))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            name = str(path.relative_to(SOURCES))
            archive.writestr(zipfile.ZipInfo(name, FIRST_DAY), path.read_bytes())


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
