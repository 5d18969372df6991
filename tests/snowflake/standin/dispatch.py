"""Each statement goes to the part that knows it; what nobody knows is refused."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from tests.snowflake.standin import access, budgets, fixes, grants, masks, objects, usage
from tests.snowflake.standin.account import (
    Account,
    Thing,
    denied,
    missing,
    plain,
    read_properties,
    refusal,
)
from tests.snowflake.standin.alerts import Alerts
from tests.snowflake.standin.buckets import Aws
from tests.snowflake.standin.dbt_projects import check_version, runs_dbt
from tests.snowflake.standin.loading import Loader
from tests.snowflake.standin.pipes import Pipes
from tests.snowflake.standin.rewriting import rewritten
from tests.snowflake.standin.session import DONE, Session, rows_sql
from tests.snowflake.standin.tasks import Tasks

_COMMENTS = re.compile(r"\s*(?:/\*.*?\*/|--[^\n]*(?:\n|$)|\s)*", re.S)
_USE = re.compile(r"USE\s+(ROLE|WAREHOUSE|DATABASE|SCHEMA|SECONDARY\s+ROLES)?\s*([\w.\"]+)", re.I)
_TRACKED = re.compile(r"\s+CHANGE_TRACKING\s*=\s*TRUE\b", re.I)
_MANAGED = re.compile(r"\s+WITH\s+MANAGED\s+ACCESS\b", re.I)


@dataclass
class Prepared:
    """What is left to run, and what to book when it has run."""

    sql: str
    after: Callable[[], Any] = lambda: None


class Standin:
    """The account, its loader, its pipes; one for the server."""

    def __init__(self, fakesnow: Any, account: Account, aws: Aws, lock: Any) -> None:
        self.account, self._fakesnow = account, fakesnow
        self.loader = Loader(fakesnow.duck_conn, aws)
        self.pipes = Pipes(account, self.loader, lock, self.system_session)
        self._lock, self.port = lock, 0
        self.issuers: dict[str, str] = {}
        for name, function, arguments, result in (
            ("system_pipe_status", self.pipes.told, ["VARCHAR"], "VARCHAR"),
            ("standin_sees", self._sees, ["VARCHAR", "VARCHAR"], "BOOLEAN"),
            ("standin_now", self.loader.now, [], "TIMESTAMP"),
        ):
            fakesnow.duck_conn.create_function(name, function, arguments, result, side_effects=True)
        fakesnow.duck_conn.execute(usage.CREATION)
        for name in usage.VIEWS:
            account.things["VIEW", f"SNOWFLAKE.ACCOUNT_USAGE.{name}"] = Thing("ACCOUNTADMIN")
        account.things["SCHEMA", "SNOWFLAKE.ACCOUNT_USAGE"] = Thing("ACCOUNTADMIN")
        self.tasks, self.alerts = Tasks(self), Alerts(self)

    def _sees(self, role: str, table: str) -> bool:
        return self.account.sees(role, ("TABLE", table))

    # ---- signing in

    def sign_in(self, data: dict[str, Any], query: dict[str, str], peer: str) -> Session:
        """A session for who proves to be a user. Raises when that fails."""
        name = str(data.get("LOGIN_NAME", "")).upper()
        user = self.account.things.get(("USER", name))
        if user is None:
            raise ProgrammingError(msg="Incorrect username or password was specified.")
        if data.get("AUTHENTICATOR") == "SNOWFLAKE_JWT":
            _check_token(name, user, data["TOKEN"])
        elif data.get("AUTHENTICATOR") == "WORKLOAD_IDENTITY":
            _check_identity(user, data, self.issuers)
        elif user.properties.get("TYPE", "").upper() == "SERVICE" or data.get(
            "PASSWORD"
        ) != user.properties.get("PASSWORD"):
            raise ProgrammingError(msg="Incorrect username or password was specified.")
        self._check_network(user, peer)
        role = (query.get("roleName") or plain(user.properties.get("DEFAULT_ROLE")) or "").upper()
        role = role or ("ACCOUNTADMIN" if name == "ADMIN" else "PUBLIC")
        if role != "PUBLIC" and not self.account.may_use(name, role):
            raise ProgrammingError(msg=f"Role '{role}' is not granted to the user.")
        found = query.get("warehouse") or plain(user.properties.get("DEFAULT_WAREHOUSE"))
        session = Session(self.account, None, name, role)
        session.warehouse = found.upper() or None
        path = data.get("SESSION_PARAMETERS", {}).get("SEARCH_PATH", "")
        session.search_path = tuple(
            part.strip().upper() for part in path.split(",") if part.strip()
        )
        tag = data.get("SESSION_PARAMETERS", {}).get("QUERY_TAG")
        session.query_tag = tag or ""
        return session

    def _check_network(self, user: Thing, peer: str) -> None:
        policy = user.properties.get("NETWORK_POLICY", "").upper()
        if not policy:
            return
        rules = self.account.things["NETWORK POLICY", policy].properties
        allowed = []
        for name in re.findall(r"'([^']*)'", rules["ALLOWED_NETWORK_RULE_LIST"]):
            values = self.account.things["NETWORK RULE", name.upper()].properties["VALUE_LIST"]
            allowed += re.findall(r"'([^']*)'", values)
        if not any(ipaddress.ip_address(peer) in ipaddress.ip_network(a) for a in allowed):
            raise ProgrammingError(msg=f"IP address {peer} is not allowed to access Snowflake.")

    def enter(self, session: Session) -> None:
        """What a new session may not see it has not got."""
        engine = session.engine
        if engine.database and ("DATABASE", engine.database) not in self.account.things:
            engine.database, engine._schema = None, None
        if session.warehouse and ("WAREHOUSE", session.warehouse) not in self.account.things:
            session.warehouse = None

    def system_session(self, role: str, name: str, warehouse: str | None = None) -> Session:
        """A session of the account itself, in the place of an object, with its owner's role."""
        database, schema, *_ = name.split(".")
        engine = self._fakesnow.connect(database, schema)
        return Session(self.account, engine, "SYSTEM", role, warehouse)

    # ---- statements

    def prepare(self, session: Session, text: str) -> Prepared:
        """Runs a statement, or checks and rewrites it for fakesnow. Raises what it ends with."""
        sql = _COMMENTS.sub("", text, count=1).rstrip().rstrip(";").rstrip()
        sql = re.sub(r"\s*/\*[^*]*\*/\s*$", "", sql)
        # docs.snowflake.com/en/sql-reference/identifier-literal
        sql = re.sub(r"\bIDENTIFIER\('([\w.]+)'\)", r"\1", sql, flags=re.I)
        if match := _USE.fullmatch(sql):
            return Prepared(self._use(session, (match[1] or "DATABASE").upper(), match[2], sql))
        for pattern, handler in self._handlers():
            if re.match(pattern, sql, re.I):
                return Prepared(handler(session, sql))
        if objects.knows(sql):
            return Prepared(objects.run(session, sql))
        return self._rows(session, sql)

    def _handlers(self) -> list[tuple[str, Callable[[Session, str], str]]]:
        return [
            (r"(GRANT|REVOKE)\s", grants.run),
            (r"COPY\s+INTO\s", self.loader.copy),
            (r"(CREATE\s+(OR\s+REPLACE\s+)?|ALTER\s+|DROP\s+)PIPE\s", self.pipes.run),
            (r"SELECT\s+SYSTEM\$PIPE_FORCE_RESUME\s*\(", self.pipes.force_resume),
            (r"CREATE\s+STREAM\s", self.tasks.stream),
            (r"DROP\s+STREAM\s", self.tasks.drop_stream),
            (r"(CREATE(\s+OR\s+ALTER)?|ALTER)\s+TASK\s", self.tasks.task),
            (r"(CREATE(\s+OR\s+(ALTER|REPLACE))?|ALTER)\s+ALERT\s", self.alerts.run),
            (r"CREATE\s+SNOWFLAKE\.CORE\.BUDGET\s", budgets.create),
            (r"CALL\s+[\w.]+!\w+\s*\(", budgets.call),
            (r"EXECUTE\s+DBT\s+PROJECT\s", self.tasks.dbt),
            (r"ALTER\s+(TABLE|VIEW)\s+[\w.]+\s+MODIFY\s+COLUMN\s", masks.set_tag),
            (r"ALTER\s+SESSION\s", _alter_session),
            (r"SHOW\s+PARAMETERS\s+LIKE\s+'QUERY_TAG'", _query_tag),
            (r"SHOW\s+GRANTS\s", _show_grants),
            (r"SHOW\s+TASKS\s", self.tasks.show),
            (r"SHOW\s+USER\s+FUNCTIONS\s", _show_functions),
            (r"DESC(RIBE)?\s+(STORAGE\s+|NOTIFICATION\s+)?INTEGRATION\s", _describe_integration),
        ]

    def _use(self, session: Session, kind: str, name: str, sql: str) -> str:
        name = name.strip('"').upper()
        if kind == "ROLE":
            if ("ROLE", name) not in self.account.things:
                raise missing("ROLE", name)
            if session.user != "SYSTEM" and not self.account.may_use(session.user, name):
                raise denied(f"Requested role '{name}' is not assigned to the executing user.")
            session.role = name
            return DONE
        if kind == "WAREHOUSE":
            session.require("USAGE", ("WAREHOUSE", name))
            session.warehouse = name
            return DONE
        if kind.startswith("SECONDARY"):
            if name != "NONE":
                raise refusal("the stand-in knows USE SECONDARY ROLES NONE only")
            return DONE
        full = session.schema_name(name) if kind == "SCHEMA" else name
        session.require("USAGE", (kind, full))
        return sql

    def _rows(self, session: Session, sql: str) -> Prepared:
        managed = bool(_MANAGED.search(sql))
        tracked = bool(_TRACKED.search(sql))
        sql = rewritten(self, session, _TRACKED.sub("", _MANAGED.sub("", sql)))
        try:
            statement = fixes.parsed(sql)
        except ProgrammingError as error:
            raise refusal(f"syntax error: {str(error.msg)[:300]}") from None
        if session.search_path and access.found_by_path(session, statement := statement.copy()):
            sql = statement.sql("snowflake")
        access.check(session, statement)
        for name in self._streams(session, statement):
            self.tasks.check_stale(name)
        if isinstance(statement, (*access.READS, exp.Insert, exp.Merge)) or (
            isinstance(statement, exp.Create) and statement.args["kind"] == "TABLE"
        ):
            sql = masks.masked(session, statement) or sql

        streams = [] if isinstance(statement, access.READS) else self._streams(session, statement)

        def after() -> None:
            access.register(session, statement)
            if managed or tracked:
                thing = self.account.things[access.made(session, statement)[1]]
                thing.managed |= managed
                thing.state["tracked"] = thing.state.get("tracked") or tracked
            for name in streams:
                self.tasks.consumed(name)

        return Prepared(sql, after)

    def _streams(self, session: Session, statement: exp.Expr) -> list[str]:
        names = [session.full_name(access.written(t)) for t in access.tables_of(statement)]
        return [name for name in names if ("STREAM", name) in self.account.things]

    def execute(self, session: Session, sql: str) -> None:
        """Runs a statement for the account itself."""
        if runs_dbt(sql):  # signs in again, so nothing may be held
            self.tasks.dbt(session, sql)
            return
        with self._lock:
            prepared = self.prepare(session, sql)
            session.engine.cursor().execute(prepared.sql)
            prepared.after()

    def control(self, order: dict[str, Any]) -> dict[str, Any]:
        """What tests may do to the world around: publish an issuer's key, let days pass, shut the
        account out of the bucket, put the files of a dbt project there as `snow dbt deploy` does,
        let tasks or alerts fall due."""
        if "days" in order:
            self.loader.pass_time(timedelta(days=order["days"]))
        if "issuer" in order:
            self.issuers[order["issuer"]] = order["key"]
        if "shut_out" in order:
            self.loader.aws.shut_out = order["shut_out"]
        if "deploy" in order:
            project = self.account.things["DBT PROJECT", order["deploy"]]
            check_version(plain(project.properties.get("DBT_VERSION")), Path(order["files"]))
            project.state["files"] = order["files"]
        if order.get("tick"):
            return self.tasks.tick()
        if order.get("alerts"):
            with self._lock:
                return self.alerts.fall_due()
        return {"now": str(self.loader.now())}


def _check_token(name: str, user: Thing, token: str) -> None:
    """Raises unless a token is signed with the private half of one of the user's keys."""
    import jwt

    for column in ("RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2"):
        if text := plain(user.properties.get(column)).replace("\n", ""):
            key = load_der_public_key(base64.b64decode(text))
            der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            print_ = base64.b64encode(hashlib.sha256(der).digest()).decode()
            try:
                claims = jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False})
            except jwt.PyJWTError:
                continue
            if claims["iss"].endswith(f"{name}.SHA256:{print_}"):
                return
    raise ProgrammingError(msg="JWT token is invalid.")


def _check_identity(user: Thing, data: dict[str, Any], issuers: dict[str, str]) -> None:
    """Raise unless a token is of the issuer, subject and audience of a user
    (docs.snowflake.com/en/user-guide/workload-identity-federation)."""
    import jwt

    text = user.properties.get("WORKLOAD_IDENTITY", "")
    known = read_properties(text[1:-1], {"TYPE", "ISSUER", "SUBJECT", "OIDC_AUDIENCE_LIST"})
    audiences = re.findall(
        r"'([^']*)'", known.get("OIDC_AUDIENCE_LIST", "'snowflakecomputing.com'")
    )
    try:
        if not text or (data.get("PROVIDER"), known["TYPE"].upper()) != ("OIDC", "OIDC"):
            raise jwt.InvalidTokenError
        issuer = plain(known["ISSUER"])
        claims = jwt.decode(
            data["TOKEN"],
            issuers.get(issuer, ""),
            algorithms=["RS256"],
            audience=audiences,
            issuer=issuer,
            options={"require": ["iat", "exp"]},
        )
        if claims["sub"] != plain(known["SUBJECT"]):
            raise jwt.InvalidTokenError
    except jwt.PyJWTError:
        raise ProgrammingError(msg="The workload identity token is invalid.") from None


def _alter_session(session: Session, sql: str) -> str:
    if match := re.fullmatch(r"ALTER\s+SESSION\s+SET\s+QUERY_TAG\s*=\s*'(.*)'", sql, re.I | re.S):
        session.query_tag = match[1]
    elif re.fullmatch(r"ALTER\s+SESSION\s+UNSET\s+QUERY_TAG", sql, re.I):
        session.query_tag = ""
    elif not re.fullmatch(r"ALTER\s+SESSION\s+SET\s+TIMEZONE\s*=\s*'UTC'", sql, re.I):
        raise refusal(f"the stand-in does not know {sql[:60]!r}")
    return DONE


def _query_tag(session: Session, _: str) -> str:
    columns = ["key", "value", "default", "level", "description", "type"]
    return rows_sql(columns, [["QUERY_TAG", session.query_tag, "", "SESSION", "", "STRING"]])


def _show_functions(session: Session, sql: str) -> str:
    """There are none: nothing here creates one."""
    match = re.fullmatch(r"SHOW\s+USER\s+FUNCTIONS\s+IN\s+([\w.]+)", sql, re.I)
    if not match:
        raise refusal(f"the stand-in does not know {sql[:60]!r}")
    session.require("USAGE", ("SCHEMA", session.schema_name(match[1])))
    return rows_sql(["name", "catalog_name", "schema_name", "is_builtin", "arguments"], [])


def _show_grants(session: Session, sql: str) -> str:
    match = re.fullmatch(r"SHOW\s+GRANTS\s+ON\s+(?:TABLE\s+|VIEW\s+)?([\w.\"]+)", sql, re.I)
    if not match:
        raise refusal(f"the stand-in does not know {sql[:60]!r}")
    name = session.full_name(match[1])
    key = session.account.relation(name)
    if not key:
        raise missing("OBJECT", name)
    rows = [
        ["", privilege, key[0], name, "ROLE", role, "false", session.account.things[key].owner]
        for privilege, on, role in sorted(session.account.grants)
        if on == key
    ]
    columns = ["created_on", "privilege", "granted_on", "name", "granted_to", "grantee_name"]
    return rows_sql([*columns, "grant_option", "granted_by"], rows)


def _describe_integration(session: Session, sql: str) -> str:
    name = sql.split()[-1].upper()
    session.require("USAGE", ("INTEGRATION", name))
    told = dict(session.account.things["INTEGRATION", name].properties)
    told["STORAGE_AWS_IAM_USER_ARN"] = "arn:aws:iam::999999999999:user/snowflake"
    told.setdefault("STORAGE_AWS_EXTERNAL_ID", f"STANDIN_SFCRole=2_{name}")
    columns = ["property", "property_type", "property_value", "property_default"]
    return rows_sql(columns, [[k, "String", plain(v), ""] for k, v in told.items()])
