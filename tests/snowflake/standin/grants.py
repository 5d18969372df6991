"""GRANT and REVOKE: who may give what, and what is given."""

from __future__ import annotations

import re

from tests.snowflake.standin.account import ACCOUNT, CONTAINED, Key, denied, missing, refusal
from tests.snowflake.standin.session import DONE, Session, said

_ROLE = re.compile(r"(GRANT|REVOKE)\s+ROLE\s+(\w+)\s+(TO|FROM)\s+(ROLE|USER)\s+(\w+)", re.I)
_GRANT = re.compile(
    r"(GRANT|REVOKE)\s+(?P<what>[\w\s,]+?)\s+ON\s+(?P<on>.+?)\s+(TO|FROM)\s+(?:ROLE\s+)?(?P<role>\w+)"
    r"(?P<rest>(\s+(COPY|REVOKE)\s+CURRENT\s+GRANTS)?)",
    re.I | re.S,
)
_MANY = re.compile(r"(ALL|FUTURE)\s+([A-Z ]+?)S?\s+IN\s+(SCHEMA|DATABASE)\s+([\w.\"]+)", re.I)
_ONE = re.compile(
    rf"(DATABASE|SCHEMA|WAREHOUSE|INTEGRATION|RESOURCE\s+MONITOR|COMPUTE\s+POOL|USER|"
    rf"{'|'.join(k.replace(' ', chr(92) + 's+') for k in CONTAINED)})\s+([\w.\"]+)",
    re.I,
)
PRIVILEGES = {
    "ACCOUNT": {"EXECUTE TASK", "EXECUTE MANAGED TASK", "EXECUTE ALERT", "EXECUTE MANAGED ALERT"}
    | {"MONITOR USAGE", "APPLY MASKING POLICY"},
    "DATABASE": {"USAGE", "CREATE SCHEMA", "MONITOR", "IMPORTED PRIVILEGES"},
    "SCHEMA": {"USAGE", "MONITOR", *(f"CREATE {kind}" for kind in CONTAINED)},
    "WAREHOUSE": {"USAGE", "OPERATE", "MONITOR", "MODIFY"},
    "INTEGRATION": {"USAGE"},
    "COMPUTE POOL": {"USAGE", "MONITOR", "OPERATE"},
    "STREAMLIT": {"USAGE"},
    "TABLE": {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES"},
    "VIEW": {"SELECT", "REFERENCES"},
    "STAGE": {"USAGE", "READ", "WRITE"},
    "FILE FORMAT": {"USAGE"},
    "PIPE": {"MONITOR", "OPERATE"},
    "STREAM": {"SELECT"},
    "TASK": {"MONITOR", "OPERATE"},
    "ALERT": {"MONITOR", "OPERATE"},
    "DBT PROJECT": {"USAGE", "MONITOR"},
    "TAG": {"APPLY", "READ"},
    "MASKING POLICY": {"APPLY"},
    "RESOURCE MONITOR": {"MONITOR", "MODIFY"},
}
"""Which privileges exist on which kind of object, of those that the stand-in knows."""


def run(session: Session, sql: str) -> str:
    """Grants or revokes."""
    if match := _ROLE.fullmatch(sql):
        return _grant_role(session, *(part.upper() for part in match.groups()))
    match = _GRANT.fullmatch(sql)
    if not match:
        raise refusal(f"syntax error: '{sql[:80]}'")
    role = match["role"].upper()
    if ("ROLE", role) not in session.account.things:
        raise missing("ROLE", role)
    names = [re.sub(r"\s+", " ", n.strip().upper()) for n in match["what"].split(",")]
    keys, future = _targets(session, match["on"])
    for name in names:
        _one(session, match[1].upper() == "GRANT", name, keys, future, role)
    return said("Statement executed successfully.")


def _grant_role(session: Session, verb: str, role: str, _: str, kind: str, name: str) -> str:
    account = session.account
    for key in (("ROLE", role), (kind, name)):
        if key not in account.things:
            raise missing(*key)
    if not (account.owns(session.role, ("ROLE", role)) or _manages(session)):
        raise denied(f"Insufficient privileges to operate on role '{role}'.")
    holders = account.parents.setdefault(name, set()) if kind == "ROLE" else account.users[name]
    if verb == "GRANT":
        holders.add(role)
    else:
        holders.discard(role)
    return DONE


def _manages(session: Session) -> bool:
    return session.account.has(session.role, "MANAGE GRANTS", ACCOUNT)


def _targets(session: Session, text: str) -> tuple[list[Key], tuple[str, Key] | None]:
    """The objects that are named, or the kind and the container of those to come."""
    text, account = text.strip(), session.account
    if text.upper() == "ACCOUNT":
        return [ACCOUNT], None
    if match := _MANY.fullmatch(text):
        kind, level = _singular(match[2]), match[3].upper()
        name = match[4].replace('"', "").upper()
        container = (level, session.schema_name(name) if level == "SCHEMA" else name)
        if container not in account.things:
            raise missing(*container)
        if match[1].upper() == "FUTURE":
            return [], (kind, container)
        inside = [k for k in account.things if k[0] == kind and k[1].startswith(f"{container[1]}.")]
        return inside, None
    match = _ONE.fullmatch(text)
    if not match:
        raise refusal(f"syntax error: unexpected '{text[:60]}'")
    kind, name = re.sub(r"\s+", " ", match[1].upper()), match[2].replace('"', "").upper()
    if kind == "SCHEMA":
        name = session.schema_name(name)
    elif kind in CONTAINED:
        name = session.full_name(name)
    key = (kind, name)
    if kind in ("TABLE", "VIEW"):
        key = account.relation(name) or key
    if key not in account.things:
        raise missing(kind, name)
    return [key], None


def _singular(kind: str) -> str:
    name = re.sub(r"\s+", " ", kind.strip().upper())
    if name == "MASKING POLICIE":
        return "MASKING POLICY"
    if name not in (*CONTAINED, "SCHEMA"):
        raise refusal(f"syntax error: unexpected '{kind}'")
    return name


def _one(
    session: Session,
    give: bool,
    privilege: str,
    keys: list[Key],
    future: tuple[str, Key] | None,
    role: str,
) -> None:
    account = session.account
    if future:
        kind, container = future
        _known(privilege, kind)
        schema = account.things[container]
        managing = (
            container[0] == "SCHEMA" and schema.managed and account.owns(session.role, container)
        )
        if not (managing or _manages(session)):
            raise denied(f"Insufficient privileges for future grants in '{container[1]}'.")
        entry = (privilege, kind, container, role)
        (account.future.add if give else account.future.discard)(entry)
    for key in keys:
        _known(privilege, key[0])
        if not _may_give(session, privilege, key):
            raise denied(f"Insufficient privileges to grant on {key[0].lower()} '{key[1]}'.")
        if privilege == "OWNERSHIP":
            account.things[key].owner = role
        elif give:
            account.grants.add((privilege, key, role))
        else:
            account.grants.discard((privilege, key, role))


def _known(privilege: str, kind: str) -> None:
    if privilege not in PRIVILEGES.get(kind, set()) | {"OWNERSHIP"}:
        raise refusal(f"invalid privilege '{privilege}' for '{kind}'")


def _may_give(session: Session, privilege: str, key: Key) -> bool:
    account = session.account
    if _manages(session):
        return True
    if key == ACCOUNT or key == ("DATABASE", "SNOWFLAKE"):
        return "ACCOUNTADMIN" in account.active(session.role)
    schema = ("SCHEMA", ".".join(key[1].split(".")[:2]))
    if key[0] in CONTAINED and account.things[schema].managed:
        return account.owns(session.role, schema)
    return account.owns(session.role, key)
