"""Stream simulated purchase events into the raw layer until Ctrl-C.

python generate_events.py                   500 events a second, live
python generate_events.py --events 20000    the last two weeks, at once, then stop

It is `medallion simulate`, whose options it takes. MEDALLION_LAKE=s3://bucket sends the events to a
bucket.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def leave_without(module: str) -> None:
    """Restart with the Python of the project if there is one; else exit and say how to get it."""
    python = PROJECT / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix) != PROJECT / ".venv":
        os.execv(python, [str(python), *sys.argv])
    sys.exit(f"{module} is not installed here: run `make setup`, then use .venv/bin/python")


try:
    from medallion.cli import main
except ModuleNotFoundError as missing:
    leave_without(str(missing.name))

if __name__ == "__main__":
    os.environ.setdefault("MEDALLION_HOME", str(PROJECT / "data"))
    given = sys.argv[1:]
    is_paced = any(option.partition("=")[0] in ("--rate", "--events") for option in given)
    main(["simulate", *given, *([] if is_paced else ["--rate", "500"])])
