"""The emulator ministack as a program: `python account_server.py`, told by environment variables.

It is mended in one place: S3 counts the time of an object in whole seconds, in listings and in
headers alike; the emulator's listings (1.5.33) count milliseconds, so that no object is what a
listing showed. With BEHIND_TLS=true every request counts as one that came by TLS.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

import ministack.app as app
import ministack.services.s3 as s3


def _whole_seconds() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


if __name__ == "__main__":
    s3.now_iso = _whole_seconds
    if os.environ.get("BEHIND_TLS") == "true":
        pin = app.pin_request_origin
        app.pin_request_origin = lambda address, _: pin(address, True)
    app.main()
