"""Streamlit, for as long as whoever holds the other end of its input lives."""

from __future__ import annotations

import os
import threading

from streamlit.web import cli


def _end_with_input() -> None:
    # Not through sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    # A server whose starter was killed would keep its port from the next start.
    threading.Thread(target=_end_with_input, daemon=True).start()
    cli.main()
