"""Tags on columns, and the masks that they bring."""

from __future__ import annotations

import re
from collections.abc import Callable

import sqlglot
from sqlglot import exp

from tests.snowflake.standin.account import Key, denied, missing, refusal
from tests.snowflake.standin.session import DONE, Session

_TAG = re.compile(
    r"ALTER\s+(TABLE|VIEW)\s+([\w.]+)\s+MODIFY\s+COLUMN\s+(\w+)\s+SET\s+TAG\s+([\w.]+)\s*=\s*'([^']*)'",
    re.I,
)


def set_tag(session: Session, sql: str) -> str:
    """ALTER TABLE ... MODIFY COLUMN ... SET TAG."""
    if not (match := _TAG.fullmatch(sql)):
        raise refusal(f"syntax error or unknown to the stand-in: '{sql[:80]}'")
    account, name = session.account, session.full_name(match[2])
    key, tag = account.relation(name), ("TAG", session.full_name(match[4]))
    if key is None:
        raise missing(match[1], name)
    session.require("APPLY", tag)
    if not account.owns(session.role, key):
        raise denied(f"Insufficient privileges to operate on {key[0].lower()} '{name}'.")
    account.things[key].properties[f"TAG {match[3].upper()}"] = tag[1]
    return DONE


def masked(session: Session, statement: exp.Expr) -> str | None:
    """The statement with each tagged column behind the policy of its tag, in tables and in views
    over them; None where the role of the session sees everything."""
    rules = (t for (kind, _), t in session.account.things.items() if kind == "MASKING POLICY")
    if all(_sees_all(session, rule.state["value"]) for rule in rules):
        return None
    masked = _behind_masks(session, statement)
    return masked.sql("snowflake") if masked else None


def _behind_masks(session: Session, statement: exp.Expr) -> exp.Expr | None:
    account, changed = session.account, False

    def hide(node: exp.Expr) -> exp.Expr:
        nonlocal changed
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            return node
        inner = _hidden(session, account.relation(session.full_name(_written(node))))
        if inner is None:
            return node
        changed = True
        return exp.Subquery(
            this=inner, alias=exp.TableAlias(this=exp.to_identifier(node.alias or node.name))
        )

    masked = statement.transform(hide)
    return masked if changed else None


def _written(table: exp.Table) -> str:
    return ".".join(part for part in (table.catalog, table.db, table.name) if part)


def _hidden(session: Session, key: Key | None) -> exp.Expr | None:
    """A query for what the role sees of a relation; None where it sees the relation as it is."""
    thing = session.account.things.get(key) if key else None
    if key is None or thing is None:
        return None
    if query := thing.state.get("query"):
        return _behind_masks(session, query)
    values = []
    tags = {n.removeprefix("TAG "): t for n, t in thing.properties.items() if n[:4] == "TAG "}
    for column, tag in tags.items():
        policy = session.account.things["TAG", tag].properties.get("MASKING POLICY", "")
        rule = session.account.things.get(("MASKING POLICY", policy))
        if rule and not _sees_all(session, rule.state["value"]):
            value = re.sub(rf"\b{rule.state['argument']}\b", column, rule.state["value"])
            values.append(f"{_ROLE.sub(_is_active(session), value)} AS {column}")
    if not values:
        return None
    return sqlglot.parse_one(
        f"SELECT * REPLACE ({', '.join(values)}) FROM {key[1]}", read="snowflake"
    )


_ROLE = re.compile(r"IS_ROLE_IN_SESSION\(\s*'(\w+)'\s*\)", re.I)


def _is_active(session: Session) -> Callable[[re.Match[str]], str]:
    active = session.account.active(session.role)
    return lambda match: str(match[1].upper() in active).upper()


def _sees_all(session: Session, value: str) -> bool:
    """Whether the role is every one that the policy names."""
    return set(_ROLE.findall(value)) <= session.account.active(session.role)
