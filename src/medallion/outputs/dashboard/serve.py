"""Streamlit as a process that ends with its parent: it exits when its standard input closes."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from streamlit import net_util
from streamlit.web import cli

from medallion.outputs.dashboard.boards import prepare


def _end_with_input() -> None:
    # Not through sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    # To check a foreign origin, Streamlit would ask an outside server for this machine's address.
    net_util.get_external_ip = net_util.get_internal_ip = lambda: None
    # A server that outlived a killed parent would still hold the port at the next start.
    threading.Thread(target=_end_with_input, daemon=True).start()
    threading.Thread(target=prepare, args=[Path(sys.argv[-1])], daemon=True).start()
    cli.main()
