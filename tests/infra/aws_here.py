"""AWS on this machine: the emulator moto, with the gaps closed that would stop Terraform.

It also runs as a program, `python aws_here.py -H 127.0.0.1 -p PORT`. Each correction says what the
service does and the emulator (5.2.5) does not.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import moto.events.models as events
import moto.iam.access_control as access
import moto.s3.responses as s3
import moto.sqs.models as sqs
from moto.budgets.responses import BudgetsResponse
from moto.glue import glue_backends
from moto.s3.models import S3Backend
from moto.server import main


def _keep_redrive_permissions() -> None:
    """A queue has a RedriveAllowPolicy, and gives policies back as they were written."""
    remember, attributes = sqs.Queue._set_attributes, sqs.Queue.attributes.fget

    def set_attributes(self: Any, changes: dict[str, Any], now: Any = None) -> Any:
        self._redrive_allow = changes.get(
            "RedriveAllowPolicy", getattr(self, "_redrive_allow", None)
        )
        return remember(self, changes, now)

    def get(self: Any) -> dict[str, Any]:
        shown = attributes(self)
        shown.pop("RedriveAllowPolicy", None)
        if self.redrive_policy:
            redrive = json.dumps(self.redrive_policy, separators=(",", ":"), sort_keys=True)
            shown["RedrivePolicy"] = redrive
        if allow := getattr(self, "_redrive_allow", None):
            shown["RedriveAllowPolicy"] = allow if isinstance(allow, str) else json.dumps(allow)
        return shown

    sqs.Queue._set_attributes = set_attributes
    sqs.Queue.attributes = property(get)
    sqs.Queue.redrive_allow_policy = None
    sqs.Queue.BASE_ATTRIBUTES = [*sqs.Queue.BASE_ATTRIBUTES, "RedriveAllowPolicy"]


def _complete_budgets() -> None:
    """Budgets have tags, and their notifications subscribers."""
    tags: dict[str, Any] = {}
    create = BudgetsResponse.create_budget

    def create_budget(self: Any) -> Any:
        name = self._get_param("Budget")["BudgetName"]
        arn = f"arn:aws:budgets::{self._get_param('AccountId')}:budget/{name}"
        tags[arn] = self._get_param("ResourceTags", []) or []
        return create(self)

    def list_tags_for_resource(self: Any) -> str:
        return json.dumps({"ResourceTags": tags.get(self._get_param("ResourceARN"), [])})

    def describe_subscribers_for_notification(self: Any) -> str:
        budgets = self.backend.budgets[self._get_param("AccountId")]
        notifications = budgets[self._get_param("BudgetName")].notifications
        wanted = self._get_param("Notification")
        (subscribers,) = [n.subscribers for n in notifications if n.details == wanted]
        return json.dumps({"Subscribers": subscribers})

    BudgetsResponse.create_budget = create_budget
    BudgetsResponse.describe_subscribers_for_notification = describe_subscribers_for_notification
    BudgetsResponse.list_tags_for_resource = list_tags_for_resource


def _pass_over_unmet_denials() -> None:
    """A statement that denies under a condition says nothing when the condition is not met. All
    requests count as encrypted ones."""
    permitted = access.IAMPolicyStatement.is_action_permitted

    def is_action_permitted(
        self: Any, action: Any, resource: Any = "*", principal: Any = None, values: Any = None
    ) -> Any:
        condition = self._statement.get("Condition")
        if condition and self._statement.get("Effect") == "Deny":
            known = {"aws:SecureTransport": "true", **(values or {})}
            for pairs in condition.values():
                for key, wanted in pairs.items():
                    if known.get(key) not in ([wanted] if isinstance(wanted, str) else wanted):
                        return access.PermissionResult.NEUTRAL
        return permitted(self, action, resource, principal, values)

    access.IAMPolicyStatement.is_action_permitted = is_action_permitted


def _show_eventbridge() -> None:
    """A bucket that tells EventBridge says so when it is asked for its notifications."""
    get = s3.S3Response.get_bucket_notification

    def get_bucket_notification(self: Any) -> Any:
        configuration = self.backend.get_bucket_notification_configuration(self.bucket_name)
        answer = get(self)
        if not configuration or configuration.event_bridge is None:
            return answer
        status, headers, body = answer
        body = body if isinstance(body, str) else body.decode()
        end = body.rindex("</")
        flag = "<EventBridgeConfiguration></EventBridgeConfiguration>"
        headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
        return status, headers, body[:end] + flag + body[end:]

    s3.S3Response.get_bucket_notification = get_bucket_notification


def _announce_once() -> None:
    """An upload in parts is announced when it is complete, not once more as a plain one."""
    put = S3Backend.put_object

    def put_object(self: Any, *arguments: Any, multipart: Any = None, **more: Any) -> Any:
        if multipart is not None:
            more["disable_notification"] = True
        return put(self, *arguments, multipart=multipart, **more)

    S3Backend.put_object = put_object


def _start_workflows() -> None:
    """A rule whose target is a Glue workflow starts a run of it."""
    send = events.Rule.send_to_targets

    def send_to_targets(self: Any, event: Any, transform_input: bool = True) -> None:
        targets = self.targets
        workflows = [t for t in targets if t["Arn"].split(":")[2] == "glue"]
        self.targets = [t for t in targets if t not in workflows]
        try:
            send(self, event, transform_input)
        finally:
            self.targets = targets
        if workflows and self.event_pattern.matches_event(event):
            for target in workflows:
                _, _, _, region, account, name = target["Arn"].split(":", 5)
                glue_backends[account][region].start_workflow_run(name.split("/", 1)[1], {})

    events.Rule.send_to_targets = send_to_targets


if __name__ == "__main__":
    _keep_redrive_permissions()
    _complete_budgets()
    _pass_over_unmet_denials()
    _show_eventbridge()
    _announce_once()
    _start_workflows()
    main(sys.argv[1:])
