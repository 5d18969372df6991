"""What an account holds besides rows: objects and their owners, roles, grants, future grants."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from snowflake.connector.errors import ProgrammingError

Key = tuple[str, str]
"""Kind and full name of an object, in capitals."""

CONTAINED = (
    "TABLE",
    "VIEW",
    "STAGE",
    "FILE FORMAT",
    "PIPE",
    "STREAM",
    "TASK",
    "ALERT",
    "DBT PROJECT",
    "BUDGET",
    "TAG",
    "MASKING POLICY",
    "NETWORK RULE",
    "STREAMLIT",
    "AUTHENTICATION POLICY",
)
"""Kinds that live in a schema."""
SYSTEM_ROLES = {
    "ACCOUNTADMIN": ("SYSADMIN", "SECURITYADMIN"),
    "SECURITYADMIN": ("USERADMIN",),
    "SYSADMIN": (),
    "USERADMIN": (),
    "PUBLIC": (),
}
ACCOUNT = ("ACCOUNT", "ACCOUNT")
BUILT_IN = {
    "ACCOUNTADMIN": (
        "CREATE INTEGRATION",
        "CREATE COMPUTE POOL",
        "CREATE RESOURCE MONITOR",
        "MODIFY RESOURCE MONITOR",
        "APPLY MASKING POLICY",
        "APPLY TAG",
        "APPLY AUTHENTICATION POLICY",
        "EXECUTE TASK",
        "EXECUTE MANAGED TASK",
        "EXECUTE ALERT",
        "EXECUTE MANAGED ALERT",
        "MONITOR USAGE",
    ),
    "SECURITYADMIN": ("MANAGE GRANTS", "CREATE NETWORK POLICY", "ATTACH POLICY"),
    "USERADMIN": ("CREATE ROLE", "CREATE USER"),
    "SYSADMIN": ("CREATE DATABASE", "CREATE WAREHOUSE"),
}
"""What the roles of a new account may do."""


def refusal(message: str, errno: int = 1003, state: str = "42000") -> ProgrammingError:
    """The error that a statement ends with."""
    return ProgrammingError(msg=f"SQL compilation error:\n{message}", errno=errno, sqlstate=state)


def denied(message: str) -> ProgrammingError:
    """The error for a privilege that is missing."""
    return ProgrammingError(
        msg=f"SQL access control error:\n{message}", errno=3001, sqlstate="42501"
    )


def missing(kind: str, name: str) -> ProgrammingError:
    """The error for what is not there or may not be seen."""
    return refusal(f"{kind.title()} '{name}' does not exist or not authorized.", 2003, "02000")


@dataclass
class Thing:
    """An object: who owns it, how it was made, what was set later."""

    owner: str
    properties: dict[str, str] = field(default_factory=dict)
    body: str = ""
    managed: bool = False
    clustered: bool = False
    state: dict[str, Any] = field(default_factory=dict)


class Account:
    """Objects and who may do what with them."""

    def __init__(self) -> None:
        self.things: dict[Key, Thing] = {("ROLE", r): Thing("SECURITYADMIN") for r in SYSTEM_ROLES}
        self.things["USER", "ADMIN"] = Thing("ACCOUNTADMIN", {"PASSWORD": "admin"})
        self.things["DATABASE", "SNOWFLAKE"] = Thing("ACCOUNTADMIN")
        self.parents: dict[str, set[str]] = {
            role: set(children) for role, children in SYSTEM_ROLES.items()
        }
        self.users: dict[str, set[str]] = {"ADMIN": {"ACCOUNTADMIN"}}
        self.grants: set[tuple[str, Key, str]] = {
            (privilege, ACCOUNT, role) for role, names in BUILT_IN.items() for privilege in names
        }
        self.future: set[tuple[str, str, Key, str]] = set()

    # ---- roles

    def active(self, role: str) -> set[str]:
        """A role and all whose privileges it inherits."""
        held, open_ends = set[str](), [role]
        while open_ends:
            if (name := open_ends.pop()) not in held:
                held.add(name)
                open_ends += self.parents.get(name, ())
        return held | {"PUBLIC"}

    def may_use(self, user: str, role: str) -> bool:
        """Whether a user may take on a role."""
        return any(role in self.active(granted) for granted in self.users.get(user, ()))

    # ---- privileges

    def has(self, role: str, privilege: str, key: Key) -> bool:
        """Whether a role holds a privilege on an object: by grant, as owner, by inheritance."""
        roles = self.active(role)
        thing = self.things.get(key)
        if thing and thing.owner in roles:
            return True
        if key[1].startswith("SNOWFLAKE"):  # shared: one privilege opens all of it
            privilege, key = "IMPORTED PRIVILEGES", ("DATABASE", "SNOWFLAKE")
        return any((privilege, key, holder) in self.grants for holder in roles)

    def sees(self, role: str, key: Key) -> bool:
        """Whether a role has any privilege on an object."""
        if key[1].startswith("SNOWFLAKE"):
            return self.has(role, "USAGE", key)
        thing, roles = self.things.get(key), self.active(role)
        return bool(thing and thing.owner in roles) or any(
            on == key and holder in roles for _, on, holder in self.grants
        )

    def reach(self, role: str, key: Key) -> None:
        """Raises unless a role may look into the database and the schema of an object."""
        parts = key[1].split(".")
        for kind, name in (("DATABASE", parts[0]), ("SCHEMA", ".".join(parts[:2]))):
            if len(parts) < 2 or (kind, name) == key:
                continue
            if (kind, name) not in self.things or not self.has(role, "USAGE", (kind, name)):
                raise missing(kind, name)

    def require(self, role: str, privilege: str, key: Key) -> None:
        """Raises unless a role holds a privilege on an object and may look into what holds it."""
        if key != ACCOUNT:
            self.reach(role, key)
            if key not in self.things:
                raise missing(*key)
        if not self.has(role, privilege, key):
            if key == ACCOUNT or self.sees(role, key):
                raise denied(
                    f"Insufficient privileges to operate on {key[0].lower()} '{key[1]}' "
                    f"({privilege} is missing for {role})."
                )
            raise missing(*key)

    def owns(self, role: str, key: Key) -> bool:
        """Whether a role owns an object."""
        return self.things[key].owner in self.active(role)

    # ---- objects

    def add(self, key: Key, thing: Thing) -> None:
        """Takes an object in. What was granted on one of that name before is gone; the future
        grants of its schema, or else of its database, apply."""
        self.forget(key)
        self.things[key] = thing
        parts = key[1].split(".")
        if key[0] in CONTAINED:
            for container in (("SCHEMA", ".".join(parts[:2])), ("DATABASE", parts[0])):
                future = [f for f in self.future if f[1] == key[0] and f[2] == container]
                for privilege, _, _, role in future:
                    self._apply(privilege, key, role)
                if future:
                    return
        elif key[0] == "SCHEMA":
            for privilege, kind, container, role in set(self.future):
                if kind == "SCHEMA" and container == ("DATABASE", parts[0]):
                    self._apply(privilege, key, role)

    def _apply(self, privilege: str, key: Key, role: str) -> None:
        if privilege == "OWNERSHIP":
            self.things[key].owner = role
        else:
            self.grants.add((privilege, key, role))

    def forget(self, key: Key) -> None:
        """Takes an object and what was granted on it away."""
        self.things.pop(key, None)
        self.grants = {g for g in self.grants if g[1] != key}
        if key[0] in ("SCHEMA", "DATABASE"):
            inside = [k for k in self.things if k[1].startswith(f"{key[1]}.")]
            for other in inside:
                self.forget(other)

    def relation(self, name: str) -> Key | None:
        """The table, view or stream of a name."""
        kinds = ("TABLE", "VIEW", "STREAM")
        return next(((k, name) for k in kinds if (k, name) in self.things), None)

    def described(self) -> dict[str, Any]:
        """All of it, for comparison."""
        things = {
            f"{kind} {name}": [t.owner, t.properties, t.body, t.managed]
            for (kind, name), t in self.things.items()
        }
        return {
            "objects": dict(sorted(things.items())),
            "grants": sorted(f"{p} ON {k[0]} {k[1]} TO {r}" for p, k, r in self.grants),
            "future": sorted(f"{p} ON {o} IN {k[1]} TO {r}" for p, o, k, r in self.future),
            "roles": {role: sorted(names) for role, names in sorted(self.parents.items())},
            "users": {user: sorted(names) for user, names in sorted(self.users.items())},
        }


_VALUE = (
    r"""'(?:[^'\\]|''|\\.)*'|\((?:[^()']|'(?:[^']|'')*'|\([^()]*\))*\)|"""
    r"""[\w.$%-]+(?:\s*\.\s*[\w$]+)*"""
)
_PROPERTY = re.compile(rf"\s*,?\s*([A-Za-z_0-9]+)\s*=\s*({_VALUE})", re.S)


def read_properties(text: str, allowed: set[str]) -> dict[str, str]:
    """`NAME = value ...` as a mapping. Raises on what is left over and on unknown names."""
    properties, place = dict[str, str](), 0
    while match := _PROPERTY.match(text, place):
        name = match[1].upper()
        if name not in allowed:
            raise refusal(f"invalid property '{name}'; expected one of {sorted(allowed)}")
        properties[name], place = match[2], match.end()
    if text[place:].strip():
        raise refusal(f"syntax error: unexpected '{text[place:].strip()[:60]}'.")
    return properties


def plain(value: str | None) -> str:
    """A property without its quotes."""
    if value is None:
        return ""
    return value[1:-1].replace("''", "'") if value[:1] == "'" else value
