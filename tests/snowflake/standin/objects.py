"""CREATE, ALTER and DROP of what holds no rows: recorded word by word, with its privileges."""

from __future__ import annotations

import re

from tests.snowflake.standin.account import (
    ACCOUNT,
    CONTAINED,
    Key,
    Thing,
    missing,
    plain,
    read_properties,
    refusal,
)
from tests.snowflake.standin.session import DONE, Session, said

_COMMENT = {"COMMENT"}
PROPERTIES: dict[str, set[str]] = {
    "ROLE": _COMMENT,
    "USER": _COMMENT
    | {"TYPE", "DEFAULT_ROLE", "DEFAULT_WAREHOUSE", "DEFAULT_NAMESPACE", "DEFAULT_SECONDARY_ROLES"}
    | {"RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2", "NETWORK_POLICY", "DISABLED", "WORKLOAD_IDENTITY"},
    "WAREHOUSE": _COMMENT
    | {"WAREHOUSE_SIZE", "AUTO_SUSPEND", "AUTO_RESUME", "INITIALLY_SUSPENDED"}
    | {"RESOURCE_MONITOR", "STATEMENT_TIMEOUT_IN_SECONDS", "WAREHOUSE_TYPE"}
    | {"STATEMENT_QUEUED_TIMEOUT_IN_SECONDS"},
    "RESOURCE MONITOR": {"CREDIT_QUOTA", "FREQUENCY", "START_TIMESTAMP", "NOTIFY_USERS"},
    "STORAGE INTEGRATION": _COMMENT
    | {"TYPE", "STORAGE_PROVIDER", "ENABLED", "STORAGE_AWS_ROLE_ARN", "STORAGE_AWS_EXTERNAL_ID"}
    | {"STORAGE_ALLOWED_LOCATIONS", "STORAGE_BLOCKED_LOCATIONS"},
    "NOTIFICATION INTEGRATION": _COMMENT
    | {"TYPE", "DIRECTION", "NOTIFICATION_PROVIDER", "ENABLED"}
    | {"AWS_SNS_TOPIC_ARN", "AWS_SNS_ROLE_ARN"},
    "EXTERNAL ACCESS INTEGRATION": _COMMENT | {"ALLOWED_NETWORK_RULES", "ENABLED"},
    "COMPUTE POOL": _COMMENT
    | {"MIN_NODES", "MAX_NODES", "INSTANCE_FAMILY", "AUTO_SUSPEND_SECS", "AUTO_RESUME"},
    "STREAMLIT": _COMMENT
    | {"MAIN_FILE", "QUERY_WAREHOUSE", "TITLE", "RUNTIME_NAME", "COMPUTE_POOL"}
    | {"EXTERNAL_ACCESS_INTEGRATIONS"},
    "NETWORK POLICY": _COMMENT | {"ALLOWED_NETWORK_RULE_LIST", "BLOCKED_NETWORK_RULE_LIST"},
    "NETWORK RULE": _COMMENT | {"TYPE", "MODE", "VALUE_LIST"},
    "AUTHENTICATION POLICY": _COMMENT | {"AUTHENTICATION_METHODS", "CLIENT_TYPES"},
    "FILE FORMAT": _COMMENT
    | {"TYPE", "COMPRESSION", "USE_LOGICAL_TYPE", "BINARY_AS_TEXT"}
    | {"USE_VECTORIZED_SCANNER", "NULL_IF"},
    "STAGE": _COMMENT | {"URL", "STORAGE_INTEGRATION", "FILE_FORMAT", "DIRECTORY", "ENCRYPTION"},
    "TAG": _COMMENT,
    "MASKING POLICY": _COMMENT,
    "DBT PROJECT": _COMMENT
    | {"DEFAULT_TARGET", "DBT_VERSION", "AUTO_COMPILE", "DEFAULT_WRITEBACK"},
}
"""By kind: the properties that the stand-in knows."""
SNOWFLAKES_RULES = {"SNOWFLAKE.EXTERNAL_ACCESS.PYPI_RULE"}
"""Network rules of every account (docs.snowflake.com/en/developer-guide/external-network-access/
external-network-access-examples)."""
OR_ALTER = {"ROLE", "WAREHOUSE", "NETWORK POLICY", "NETWORK RULE", "AUTHENTICATION POLICY"} | {
    "FILE FORMAT",
    "STAGE",
    "TAG",
    "MASKING POLICY",
}
"""Kinds with CREATE OR ALTER, of those known here
(docs.snowflake.com/en/sql-reference/sql/create-or-alter)."""

_KINDS = "|".join(k.replace(" ", r"\s+") for k in sorted(PROPERTIES, key=len, reverse=True))
_CREATE = re.compile(
    rf"CREATE\s+(OR\s+REPLACE\s+|OR\s+ALTER\s+)?({_KINDS})\s+(IF\s+NOT\s+EXISTS\s+)?([\w.\"]+)\s*(.*)",
    re.I | re.S,
)
_ALTER = re.compile(
    rf"(ALTER|DROP)\s+({_KINDS}|INTEGRATION)\s+(IF\s+EXISTS\s+)?([\w.\"]+)\s*(.*)", re.I | re.S
)
_TRIGGERS = re.compile(
    r"\bTRIGGERS((?:\s+ON\s+\d+\s+PERCENT\s+DO\s+(?:NOTIFY|SUSPEND|SUSPEND_IMMEDIATE))+)\s*$", re.I
)
_MASK = re.compile(
    r"AS\s*\(\s*(\w+)\s+VARCHAR\s*\)\s*RETURNS\s+VARCHAR\s*->\s*(.*?)(\s+COMMENT\s*=.*)?",
    re.I | re.S,
)


def knows(sql: str) -> bool:
    """Whether a statement is about an object without rows."""
    return bool(_CREATE.match(sql) or _ALTER.match(sql))


def run(session: Session, sql: str) -> str:
    """Creates, alters or drops an object. Raises on every word that is not known."""
    if match := _CREATE.fullmatch(sql):
        kind = re.sub(r"\s+", " ", match[2].upper())
        return _create(session, (match[1] or "").upper(), kind, bool(match[3]), match[4], match[5])
    if match := _ALTER.fullmatch(sql):
        kind = re.sub(r"\s+", " ", match[2].upper())
        return _alter(session, match[1].upper(), kind, bool(match[3]), match[4], match[5])
    raise refusal(f"syntax error or unknown to the stand-in: '{sql[:80]}'")


def _key(session: Session, kind: str, name: str) -> Key:
    stored = "INTEGRATION" if kind.endswith("INTEGRATION") else kind
    return stored, session.full_name(name) if kind in CONTAINED else name.strip('"').upper()


def _create(session: Session, how: str, kind: str, if_missing: bool, name: str, text: str) -> str:
    account, key = session.account, _key(session, kind, name)
    alters = how.startswith("OR ALTER") and key in account.things
    if how.startswith("OR ALTER") and kind not in OR_ALTER:
        raise refusal(f"syntax error: CREATE OR ALTER {kind} does not exist")
    if alters:
        session.require("OWNERSHIP", key)
    elif kind in CONTAINED:
        session.require(f"CREATE {kind}", ("SCHEMA", key[1].rpartition(".")[0]))
    else:
        session.require(f"CREATE {key[0]}", ACCOUNT)
    if key in account.things and not how:
        if if_missing:
            return said(f"{key[1]} already exists, statement succeeded.")
        raise refusal(f"Object '{key[1]}' already exists.", 2002, "42710")
    thing = Thing(session.role)
    text = text.strip()
    if kind == "RESOURCE MONITOR":
        text = re.sub(r"^WITH\s+", "", text, flags=re.I)
        if match := _TRIGGERS.search(text):
            thing.body, text = " ".join(match[1].split()), text[: match.start()]
    if kind == "MASKING POLICY":
        match = _MASK.fullmatch(text)
        if not match:
            raise refusal("the stand-in knows masking policies from VARCHAR to VARCHAR only")
        thing.state |= {"argument": match[1], "value": match[2]}
        thing.body, text = " ".join(match[2].split()), match[3] or ""
    if kind == "DBT PROJECT":
        match = re.match(r"FROM\s+'(@[^']*)'\s*", text, re.I)
        if not match:
            raise refusal("syntax error: FROM '@stage/path' expected")
        thing.state["from"], text = match[1], text[match.end() :]
    thing.properties = read_properties(text, PROPERTIES[kind])
    _valid(session, kind, thing)
    if alters:  # what is not named is unset; grants, tags and policies stay
        old = account.things[key]
        attached = {n: v for n, v in old.properties.items() if n not in PROPERTIES[kind]}
        old.properties, old.body = attached | thing.properties, thing.body
        old.state |= thing.state
        return said(f"{kind.title()} {key[1]} successfully altered.")
    if key in account.things:
        thing.owner = account.things[key].owner
    account.add(key, thing)
    if kind == "ROLE":
        account.parents.setdefault(key[1], set())
    if kind == "USER":
        account.users.setdefault(key[1], set())
    return said(f"{kind.title()} {key[1]} successfully created.")


def _valid(session: Session, kind: str, thing: Thing) -> None:
    """Raises where an object names others that are missing or forbidden."""
    properties = thing.properties
    if kind == "STAGE" and "URL" in properties:
        key = ("INTEGRATION", properties.get("STORAGE_INTEGRATION", "").upper())
        session.require("USAGE", key)
        allowed = re.findall(
            r"'([^']*)'", session.account.things[key].properties["STORAGE_ALLOWED_LOCATIONS"]
        )
        url = plain(properties["URL"])
        if not any(url.startswith(place) for place in allowed):
            raise refusal(f"Location '{url}' is not allowed by integration {key[1]}.")
    if kind == "STAGE" and "FILE_FORMAT" in properties:
        inner = read_properties(properties["FILE_FORMAT"][1:-1], {"FORMAT_NAME"})
        session.require("USAGE", ("FILE FORMAT", session.full_name(plain(inner["FORMAT_NAME"]))))
    if kind == "NETWORK POLICY":
        for name in re.findall(r"'([^']*)'", properties["ALLOWED_NETWORK_RULE_LIST"]):
            if ("NETWORK RULE", session.full_name(name)) not in session.account.things:
                raise missing("NETWORK RULE", name)
    for name in re.findall(r"[\w.]+", properties.get("ALLOWED_NETWORK_RULES", "")):
        is_known = ("NETWORK RULE", session.full_name(name)) in session.account.things
        if not is_known and name.upper() not in SNOWFLAKES_RULES:
            raise missing("NETWORK RULE", name)
    if kind == "STREAMLIT":  # docs.snowflake.com/en/sql-reference/sql/create-streamlit
        session.require("USAGE", ("WAREHOUSE", properties["QUERY_WAREHOUSE"].upper()))
        session.require("USAGE", ("COMPUTE POOL", plain(properties["COMPUTE_POOL"]).upper()))
        for name in re.findall(r"\w+", properties["EXTERNAL_ACCESS_INTEGRATIONS"]):
            session.require("USAGE", ("INTEGRATION", name.upper()))
    for name in re.findall(r"\w+", properties.get("NOTIFY_USERS", "")):
        if ("USER", name.upper()) not in session.account.things:
            raise missing("USER", name)
    for named in ("RESOURCE MONITOR", "NETWORK POLICY"):
        name = properties.get(named.replace(" ", "_"))
        if name and (named, name.upper()) not in session.account.things:
            raise missing(named, name)


def _alter(session: Session, verb: str, kind: str, if_there: bool, name: str, text: str) -> str:
    account, key = session.account, _key(session, kind, name)
    if key not in account.things:
        if if_there:
            return DONE
        raise missing(*key)
    thing = account.things[key]
    if re.match(r"SET\s+MASKING\s", text, re.I):
        session.require("APPLY MASKING POLICY", ACCOUNT)
    if not account.owns(session.role, key):
        needed = {"USER": "ATTACH POLICY", "TAG": "APPLY MASKING POLICY"}.get(kind, "OWNERSHIP")
        on = key if needed == "OWNERSHIP" else ACCOUNT
        session.require(needed, on)
    if verb == "DROP":
        account.forget(key)
        return said(f"{key[1]} successfully dropped.")
    if match := re.fullmatch(r"SET\s+AUTHENTICATION\s+POLICY\s+([\w.]+)(\s+FORCE)?", text, re.I):
        return _attach(session, thing, "AUTHENTICATION POLICY", match[1], bool(match[2]))
    if match := re.fullmatch(r"SET\s+MASKING\s+POLICY\s+([\w.]+)(\s+FORCE)?", text, re.I):
        return _attach(session, thing, "MASKING POLICY", match[1], bool(match[2]))
    if kind == "RESOURCE MONITOR" and (match := _TRIGGERS.search(text)):
        thing.body, text = " ".join(match[1].split()), text[: match.start()].rstrip()
    if not (match := re.fullmatch(r"(SET|UNSET)\s+(.*)", text, re.I | re.S)):
        raise refusal(f"syntax error: unexpected '{text[:60]}'")
    allowed = PROPERTIES.get(kind) or PROPERTIES["STORAGE INTEGRATION"]
    if match[1].upper() == "UNSET":
        if (unset := match[2].strip().upper()) not in allowed:
            raise refusal(f"invalid property '{unset}'; expected one of {sorted(allowed)}")
        thing.properties.pop(unset, None)
        return DONE
    given = read_properties(match[2], allowed)
    changed = Thing(thing.owner, thing.properties | given)
    _valid(session, kind, changed)
    thing.properties |= given
    return DONE


def _attach(session: Session, thing: Thing, kind: str, name: str, force: bool) -> str:
    key = (kind, session.full_name(name))
    if key not in session.account.things:
        raise missing(*key)
    if thing.properties.get(kind) and not force:
        raise refusal(f"{kind.title()} is attached already; FORCE replaces it.")
    thing.properties[kind] = key[1]
    return DONE
