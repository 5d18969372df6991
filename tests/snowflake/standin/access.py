"""What a statement on rows needs: privileges before it runs, owners after it has run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from tests.snowflake.standin.account import ACCOUNT, Key, Thing, denied, missing, refusal
from tests.snowflake.standin.session import Session

READS = (exp.Select, exp.SetOperation, exp.Subquery)
WRITES = {exp.Insert: "INSERT", exp.Delete: "DELETE", exp.Update: "UPDATE"}
FREE = (exp.Transaction, exp.Commit, exp.Rollback)
MAKES = ("TABLE", "VIEW", "SCHEMA", "DATABASE")


def check(session: Session, statement: exp.Expr) -> None:
    """Raises unless the role of the session may run a statement; refuses kinds that are not
    known."""
    if isinstance(statement, FREE):
        return
    if isinstance(statement, READS):
        _may_read(session, statement, compute=True)
    elif type(statement) in WRITES:
        target = _target(statement)
        session.require(WRITES[type(statement)], _relation(session, target))
        _may_read(session, statement, compute=True, apart_from=target)
    elif isinstance(statement, exp.Merge):
        for privilege in {_merge_privilege(w) for w in statement.args["whens"].expressions}:
            session.require(privilege, _relation(session, statement.this))
        _may_read(session, statement, compute=True, apart_from=statement.this)
    elif isinstance(statement, exp.TruncateTable):
        session.require("TRUNCATE", _relation(session, statement.expressions[0]))
    elif isinstance(statement, exp.Create):
        _may_create(session, statement)
    elif isinstance(statement, exp.Drop | exp.Alter | exp.Comment):
        _may_change(session, statement)
    elif isinstance(statement, exp.Describe):
        if (key := _relation(session, statement.this)) and not session.account.sees(
            session.role, key
        ):
            raise missing(*key)
    elif isinstance(statement, exp.Show):
        _may_show(session, statement)
    else:
        raise refusal(f"the stand-in does not know {statement.sql('snowflake')[:80]!r}")


def _merge_privilege(when: exp.Expr) -> str:
    then = when.args["then"]
    for kind, privilege in ((exp.Insert, "INSERT"), (exp.Update, "UPDATE")):
        if isinstance(then, kind):
            return privilege
    return "DELETE"


def _target(statement: exp.Expr) -> exp.Table:
    target = statement.this
    return target.this if isinstance(target, exp.Schema) else target


def written(table: exp.Table) -> str:
    """The name of a table as the statement writes it."""
    return ".".join(part for part in (table.catalog, table.db, table.name) if part)


def _name(session: Session, table: exp.Table) -> str:
    return session.full_name(written(table))


def _relation(session: Session, table: exp.Table) -> Key:
    name = _name(session, table)
    if key := session.account.relation(name):
        session.account.reach(session.role, key)
        return key
    raise missing("OBJECT", name)


def tables_of(statement: exp.Expr) -> Iterator[exp.Table]:
    """The tables that a statement names, without its own common table expressions."""
    own = {cte.alias.upper() for cte in statement.find_all(exp.CTE)}
    for table in statement.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and (table.db or table.name.upper() not in own):
            yield table


def found_by_path(session: Session, statement: exp.Expr) -> bool:
    """Names a query's relations in full where only the search path tells their schema; whether
    there are any."""
    lonely = [t for t in tables_of(statement) if not t.db] if isinstance(statement, READS) else []
    for table in lonely:
        names = [f"{schema}.{table.name.upper()}" for schema in session.search_path]
        if relation := next(filter(session.account.relation, names), None):
            database, schema, _ = relation.split(".")
            table.set("catalog", exp.to_identifier(database))
            table.set("db", exp.to_identifier(schema))
    return bool(lonely)


def _may_read(
    session: Session, statement: exp.Expr, *, compute: bool, apart_from: exp.Table | None = None
) -> list[Key]:
    relations = []
    for table in tables_of(statement):
        if table is apart_from:
            continue
        if table.db.upper() in ("INFORMATION_SCHEMA", "_FS_INFORMATION_SCHEMA"):
            database = (table.catalog or session.engine.database or "").upper()
            session.require("USAGE", ("DATABASE", database))
        elif table.catalog.upper() not in ("_FS_GLOBAL",):
            key = _relation(session, table)
            session.require("SELECT", key)
            _owner_may_read(session, key)
            relations.append(key)
    if compute and (relations or apart_from is not None):
        session.compute()
    return relations


def _owner_may_read(session: Session, view: Key) -> None:
    """A view reads with the privileges of its owner."""
    thing = session.account.things[view]
    for kind, name in thing.state.get("reads", ()):
        key = session.account.relation(name) or (kind, name)
        try:
            session.account.require(thing.owner, "SELECT", key)
        except ProgrammingError as error:
            raise refusal(
                f"Failure during expansion of view '{view[1]}': {error.msg}", 2037, "02000"
            ) from error
        _owner_may_read(session, key)


def made(session: Session, statement: exp.Create) -> tuple[str, Key]:
    """The container and the object that a CREATE is about."""
    kind = statement.args["kind"].upper()
    table = _target(statement)
    if kind == "DATABASE":
        return "ACCOUNT", (kind, table.name.upper())
    if kind == "SCHEMA":
        name = session.schema_name(".".join(p for p in (table.catalog, table.db) if p))
        return f"DATABASE {name.split('.')[0]}", (kind, name)
    name = _name(session, table)
    return f"SCHEMA {name.rpartition('.')[0]}", (kind, name)


def _may_create(session: Session, statement: exp.Create) -> None:
    kind = (statement.args.get("kind") or "").upper()
    if kind not in MAKES:
        raise refusal(f"the stand-in does not know CREATE {kind}")
    container, key = made(session, statement)
    if container == "ACCOUNT":
        session.require("CREATE DATABASE", ACCOUNT)
    else:
        level, name = container.split(" ", 1)
        session.require(f"CREATE {kind}", (level, name))
    relation = key if kind in ("SCHEMA", "DATABASE") else session.account.relation(key[1])
    if relation in session.account.things and not statement.args.get("exists"):
        if not statement.args.get("replace"):
            raise refusal(f"Object '{key[1]}' already exists.", 2002, "42710")
        if not session.account.owns(session.role, relation):
            raise _no_owner(session, relation)
    if statement.expression is not None:
        _may_read(session, statement.expression, compute=kind == "TABLE")


def _no_owner(session: Session, key: Key) -> ProgrammingError:
    return denied(
        f"Insufficient privileges to operate on {key[0].lower()} '{key[1]}' "
        f"(OWNERSHIP is missing for {session.role})."
    )


def _about(statement: exp.Expr) -> exp.Expr:
    """The one object that a statement changes."""
    if isinstance(statement, exp.Drop):
        (only,) = statement.args["tables"]
        return only
    return statement.this


def _may_change(session: Session, statement: exp.Expr) -> None:
    kind = (statement.args.get("kind") or "TABLE").upper()
    table = _about(statement)
    if kind == "SCHEMA":
        _, key = made(session, exp.Create(this=table, kind=kind))
    elif kind in ("TABLE", "VIEW", "COLUMN"):
        relation = table.find(exp.Table) if not isinstance(table, exp.Table) else table
        name = _name(session, relation)
        key = session.account.relation(name) or ("TABLE", name)
    else:
        raise refusal(f"the stand-in does not know {statement.sql('snowflake')[:60]!r}")
    if key not in session.account.things:
        if statement.args.get("exists"):
            return
        raise missing(*key)
    session.account.reach(session.role, key)
    if not session.account.owns(session.role, key):
        raise _no_owner(session, key)


def _may_show(session: Session, statement: exp.Show) -> None:
    words = re.search(r"\bIN\s+(SCHEMA|DATABASE)\s+([\w.\"]+)", statement.sql("snowflake"), re.I)
    if words:
        kind, name = words[1].upper(), words[2].replace('"', "").upper()
        key = (kind, session.schema_name(name) if kind == "SCHEMA" else name)
        session.account.reach(session.role, key)
        if key not in session.account.things:
            raise missing(*key)
        session.require("USAGE", key)


def register(session: Session, statement: exp.Expr) -> None:
    """Books what a statement that has run has made, renamed or dropped."""
    account = session.account
    if isinstance(statement, exp.Create):
        _, key = made(session, statement)
        if statement.args.get("exists") and key in account.things:
            return
        _book(session, statement, key)
    elif isinstance(statement, exp.Drop):
        kind = (statement.args.get("kind") or "").upper()
        if kind == "SCHEMA":
            account.forget(made(session, exp.Create(this=_about(statement), kind=kind))[1])
        else:
            account.forget((kind, _name(session, _about(statement))))
    elif isinstance(statement, exp.Alter):
        for action in statement.args.get("actions") or ():
            if isinstance(action, exp.AlterRename):
                old = account.relation(_name(session, statement.this))
                assert old
                new = (old[0], _name(session, action.this))
                account.things[new] = account.things.pop(old)
                account.grants = {(p, new if k == old else k, r) for p, k, r in account.grants}


def _book(session: Session, statement: exp.Create, key: Key) -> None:
    account = session.account
    kept = None
    old = account.relation(key[1])
    if old and statement.find(exp.CopyGrantsProperty):
        kept = {(p, key, r) for p, k, r in account.grants if k == old}
    if old and old != key:
        account.forget(old)
    thing = Thing(session.role)
    if key[0] == "VIEW" and statement.expression is not None:
        names = [_name(session, t) for t in tables_of(statement.expression) if t.db]
        reads = [account.relation(name) for name in names]
        thing.state["reads"] = [read for read in reads if read]
        thing.state["query"] = statement.expression
    account.add(key, thing)
    if kept:
        account.grants |= kept
    if key[0] == "DATABASE":
        account.add(("SCHEMA", f"{key[1]}.PUBLIC"), Thing(session.role))
        account.add(("SCHEMA", f"{key[1]}.INFORMATION_SCHEMA"), Thing(session.role))
