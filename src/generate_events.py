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


def main() -> None:
    """Run `medallion simulate` with the given options; 500 events a second unless they say."""
    os.environ.setdefault("MEDALLION_HOME", str(PROJECT / "data"))
    options = sys.argv[1:]
    is_paced = any(option.partition("=")[0] in ("--rate", "--events") for option in options)
    try:
        # A part of what it needs may be missing: it is imported when a verb wants it.
        from medallion.cli import main as medallion

        medallion(["simulate", *options, *([] if is_paced else ["--rate", "500"])])
    except ModuleNotFoundError as missing:
        leave_without(str(missing.name))


if __name__ == "__main__":
    main()
