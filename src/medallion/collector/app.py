"""The web application of the collector: POST /v1/FEED takes events, GET /health says it lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medallion.collector.bodies import MAX_BODY_BYTES, Refused, lines_of, unpacked
from medallion.collector.signatures import Keys
from medallion.collector.writer import Backlog, OtherBody, Writer
from medallion.contract import FEEDS
from medallion.errors import MedallionError

ID_HEADERS = ("idempotency-key", "webhook-id", "x-shopify-webhook-id")
"""The headers that may hold the id of a request; the first one that is present counts."""
MAX_ID = 256
RETRY_AFTER = "5"


def application(open_writer: Callable[[], Writer], keys: Keys) -> Starlette:
    """Return the application.

    Args:
        open_writer: creates the writer, in the event loop that will run it.
        keys: who may send.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.writer = open_writer()
        task = asyncio.create_task(app.state.writer.run())
        yield
        app.state.writer.end()
        await task

    async def collect(request: Request) -> Response:
        if request.headers.get("origin"):
            raise Refused(403, "web pages may not send events; send them from a server")
        feed = request.path_params["feed"]
        if feed not in FEEDS:
            raise Refused(404, f"there is no feed {feed!r}; the feeds are {', '.join(FEEDS)}")
        body = await _body(request)
        if not keys.admit(request.headers, body, time.time()):
            raise Refused(401, "the request has no token or signature that is known here")
        id = next((v for n in ID_HEADERS if (v := request.headers.get(n))), "")
        if len(id) > MAX_ID:
            raise Refused(400, f"the id of a request may have {MAX_ID} characters")
        plain = unpacked(body, request.headers.get("content-encoding", "").strip().lower())
        lines = await asyncio.to_thread(lines_of, plain, request.headers.get("content-type", ""))
        if not lines:
            return JSONResponse({"stored": 0})
        taken, is_repeat = await app.state.writer.store(feed, lines, id, plain)
        place = {"stored": taken.lines, "object": taken.key, "first_line": taken.first_line}
        return JSONResponse(place | ({"repeated": True} if is_repeat else {}))

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    app = Starlette(
        routes=[
            Route("/v1/{feed}", collect, methods=["POST"]),
            Route("/health", health, methods=["GET"]),
        ],
        lifespan=lifespan,
        exception_handlers={
            Refused: _refused,
            OtherBody: _other_body,
            Backlog: _backlog,
            OSError: _not_stored,
            MedallionError: _not_stored,
            ClientDisconnect: _gone,
            HTTPException: _no_route,
        },
    )
    return app


async def _body(request: Request) -> bytes:
    """Read the body; stop where it gets too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Refused(413, f"the body has more than {MAX_BODY_BYTES:,} bytes; send several")
    return bytes(body)


def _answer(status: int, reason: str, **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"error": reason}, status, names)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    if error.status == 401:
        return _answer(401, error.reason, www_authenticate="Bearer")
    if error.status == 413:
        # The rest of the body is not read.
        return _answer(413, error.reason, connection="close")
    return _answer(error.status, error.reason)


def _other_body(request: Request, error: Exception) -> Response:
    return _answer(422, "another body came under this id; nothing of this one was stored")


def _backlog(request: Request, error: Exception) -> Response:
    return _answer(429, "more waits to be stored than fits; send it again", retry_after="1")


def _not_stored(request: Request, error: Exception) -> Response:
    return _answer(503, f"nothing was stored: {error}", retry_after=RETRY_AFTER)


def _gone(request: Request, error: Exception) -> Response:
    return _answer(400, "the request ended before its body did")


def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where = f"POST /v1/FEED, where FEED is one of {', '.join(FEEDS)}; GET /health"
    return JSONResponse(
        {"error": f"{error.detail}; there are: {where}"}, error.status_code, error.headers
    )
