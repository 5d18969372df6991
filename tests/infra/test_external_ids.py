"""The trust policies: only Snowflake and the intended services can assume the roles, and not
early."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.infra.account_here import REFUSALS, Account, allowed
from tests.infra.actors import SERVICES, SNOWFLAKE, Actors, actors
from tests.infra.conftest import Trusted
from tests.infra.terraform_here import ACCOUNT

__all__ = ["actors"]

pytestmark = pytest.mark.usefixtures("leaving")


@pytest.mark.parametrize("role", SNOWFLAKE)
@pytest.mark.parametrize("who", ["snowflake", "stranger", "administrator"])
@pytest.mark.parametrize("given", ["none", "wrong", "that of the other role", "right"])
def test_only_snowflake_with_its_external_id_assumes_its_roles(
    actors: Actors, role: str, who: str, given: str
) -> None:
    """Without an external id, with a wrong one, or as somebody else: refused."""
    other = next(value for name, value in SNOWFLAKE.items() if name != role)
    ids = {"wrong": "RETAIL_x", "that of the other role": other, "right": SNOWFLAKE[role]}
    options = {} if given == "none" else {"ExternalId": ids[given]}
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    expected = who == "snowflake" and given == "right"
    assert allowed(lambda: actors.account.assume(arn, actors.keys[who], **options)) is expected


def test_before_the_second_apply_nobody_assumes_them(actors: Actors, trusted: Trusted) -> None:
    """Not Snowflake, no user of the account who may assume anything, not its owner."""
    before = Account(actors.account.endpoint, trusted.before)
    for role in SNOWFLAKE:
        arn = actors.account.role(f"before-{role}", before.role_of(role)[0], [])
        for who in ("snowflake", "stranger", "administrator"):
            for options in ({}, {"ExternalId": SNOWFLAKE[role]}, {"ExternalId": ""}):
                assert not assumed(actors, arn, who, options), (role, who, options)


def assumed(actors: Actors, arn: str, who: str, options: dict[str, str]) -> bool:
    """Whether somebody gets a session; an external id of no length is no valid request."""
    try:
        actors.account.assume(arn, actors.keys[who], **options)
    except ClientError as error:
        return error.response["Error"]["Code"] not in {*REFUSALS, "ValidationError"}
    except Exception as error:
        if "Invalid length" in str(error):
            return False
        raise
    return True


@pytest.mark.parametrize("role", SERVICES)
def test_no_person_assumes_the_role_of_a_service(actors: Actors, role: str) -> None:
    """Not even who may assume anything."""
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    for who in ("stranger", "snowflake", "administrator"):
        assert not allowed(lambda w=who: actors.account.assume(arn, actors.keys[w]))
