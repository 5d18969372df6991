"""The emulator ministack as a program: `python account_server.py`, configured by the environment.

One thing is corrected: S3 gives the time of an object in whole seconds, in listings and in headers;
the emulator's listings (1.5.33) have milliseconds, so no object would match its listing. With
BEHIND_TLS=true every request counts as one that came by TLS.
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
