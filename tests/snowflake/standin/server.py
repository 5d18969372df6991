"""The server: signs clients in, sends each statement to whoever knows it, refuses the rest.

python -m tests.snowflake.standin.server PORT AWS_ENDPOINT
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import sys
import threading
import traceback
from typing import Any

import fakesnow.server as fakes
import uvicorn
from snowflake.connector.errors import ProgrammingError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.snowflake.standin import fixes
from tests.snowflake.standin.account import Account
from tests.snowflake.standin.buckets import Aws
from tests.snowflake.standin.dbt_projects import runs_dbt
from tests.snowflake.standin.dispatch import Standin
from tests.snowflake.standin.session import Session

LOCK = threading.Lock()
"""Held by whatever runs a statement: a session, a pipe, a task."""
ANSWERS_KEPT = 64
"""More than there are clients at a time."""


class Server:
    """The HTTP side: requests in, sessions by token."""

    def __init__(self, endpoint: str) -> None:
        engine = fixes.apply()
        self.standin = Standin(engine, Account(), Aws(endpoint), LOCK)
        self._sessions: dict[str, Session] = {}
        self._answers: dict[str, asyncio.Task[JSONResponse]] = {}

    async def login(self, request: Request) -> JSONResponse:
        body = await _body(request)
        try:
            session = self.standin.sign_in(body["data"], dict(request.query_params), _peer(request))
        except ProgrammingError as error:
            return JSONResponse(
                {"data": None, "code": "390144", "message": error.msg, "success": False}
            )
        async with _turn():
            answer = json.loads((await fakes.login_request(_replayed(request, body))).body)
            session.engine = fakes.sessions[answer["data"]["token"]]
            self.standin.enter(session)
        self._sessions[answer["data"]["token"]] = session
        answer["data"] |= {
            "masterToken": answer["data"]["token"],
            "validityInSeconds": 3600,
            "masterValidityInSeconds": 14400,
            "sessionId": len(self._sessions),
            "sessionInfo": {
                "databaseName": session.engine.database,
                "schemaName": session.engine.schema,
                "roleName": session.role,
                "warehouseName": session.warehouse,
            },
        }
        return JSONResponse(answer)

    async def query(self, request: Request) -> JSONResponse:
        """Answer a statement. The client sends it again when no answer comes within a minute, under
        the same id: it must not run twice, nor make whoever waits wait longer."""
        name, body = request.query_params["requestId"], await _body(request)
        if name not in self._answers:
            while len(self._answers) >= ANSWERS_KEPT:
                del self._answers[next(iter(self._answers))]
            self._answers[name] = asyncio.create_task(self._run(request, body))
        return await asyncio.shield(self._answers[name])

    async def _run(self, request: Request, body: dict[str, Any]) -> JSONResponse:
        try:
            token = fakes.to_token(request)
            fakes.to_conn(token)
            session = self._sessions[token]
            prepare = run_in_threadpool(self.standin.prepare, session, body["sqlText"])
            # dbt signs in again, so nothing may be held while it runs.
            prepared = await prepare if runs_dbt(body["sqlText"]) else None
            async with _turn():
                prepared = prepared or await prepare
                answer = await fakes.query_request(
                    _replayed(request, body | {"sqlText": prepared.sql})
                )
                reply = json.loads(answer.body)
                if reply.get("success"):
                    prepared.after()
        except ProgrammingError as error:
            return _failed(error.errno, error.sqlstate, error.msg)
        except fakes.ServerError as error:
            return JSONResponse(
                {"data": None, "code": error.code, "message": error.message, "success": False},
                status_code=error.status_code,
            )
        except Exception as error:
            print(body["sqlText"], file=sys.stderr)
            traceback.print_exc()
            return _failed(603, "XX000", f"stand-in: {type(error).__name__}: {error}")
        if answer.status_code == 500:  # for which a client would try again for minutes
            print(reply.get("message"), file=sys.stderr)
            return _failed(603, "XX000", f"stand-in: {reply.get('message')}")
        if reply.get("success"):
            reply["data"] |= {
                "finalRoleName": session.role,
                "finalWarehouseName": session.warehouse,
            }
        return JSONResponse(reply)

    async def state(self, _: Request) -> JSONResponse:
        """Everything but rows, for tests that compare."""
        return JSONResponse(self.standin.account.described())

    async def control(self, request: Request) -> JSONResponse:
        """What time does to an account: hours pass, tasks fall due."""
        reply = await run_in_threadpool(self.standin.control, await _body(request))
        return JSONResponse(reply)


class _turn:
    """One statement at a time, in the whole server."""

    async def __aenter__(self) -> None:
        await run_in_threadpool(LOCK.acquire)

    async def __aexit__(self, *_: Any) -> None:
        LOCK.release()


def _failed(errno: int | None, state: str | None, message: str | None) -> JSONResponse:
    code = f"{errno or 603:06d}"
    data = {"errorCode": code, "sqlState": state}
    return JSONResponse({"data": data, "code": code, "message": message, "success": False})


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


async def _body(request: Request) -> dict[str, Any]:
    raw = await request.body()
    if request.headers.get("content-encoding") == "gzip":
        raw = gzip.decompress(raw)
    body: dict[str, Any] = json.loads(raw or b"{}")
    return body


def _replayed(request: Request, body: dict[str, Any]) -> Request:
    """The request with another body."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    kept = (b"content-encoding", b"content-length")
    headers = [(k, v) for k, v in request.scope["headers"] if k not in kept]
    return Request(dict(request.scope) | {"headers": headers}, receive)


def main(port: int, endpoint: str) -> None:
    """Serves on 127.0.0.1 until it is killed."""
    logging.getLogger("fakesnow.server").setLevel(logging.ERROR)
    server = Server(endpoint)
    server.standin.port = port
    own = [
        Route("/session/v1/login-request", server.login, methods=["POST"]),
        Route("/queries/v1/query-request", server.query, methods=["POST"]),
        Route("/standin/state", server.state),
        Route("/standin/control", server.control, methods=["POST"]),
        Route("/telemetry/send", lambda _: JSONResponse({"success": True}), methods=["POST"]),
    ]
    taken = {route.path for route in own}
    routes = own + [route for route in fakes.routes if route.path not in taken]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
