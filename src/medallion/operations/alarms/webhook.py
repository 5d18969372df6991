"""The webhook: sends alarms by HTTP, as plain JSON or in the form of Slack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import urllib3

from medallion.errors import SettingsError
from medallion.operations.alarms.watch import Change

VARIABLE = "MEDALLION_WEBHOOK"
"""The environment variable with the address, which is a secret: it is never printed."""
SLACK = "slack+"
"""The prefix of an address that expects Slack's form, as in slack+https://hooks..."""
TIMEOUT = 5.0
RETRIES = urllib3.Retry(
    total=3,
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,
    redirect=False,
    raise_on_status=False,
)


@dataclass(frozen=True)
class Webhook:
    """An address that receives alarms."""

    url: str
    is_slack: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Webhook | None:
        """Return the webhook of the environment; None where there is none.

        Raises:
            SettingsError: the address cannot be used.
        """
        if not (address := environment.get(VARIABLE)):
            return None
        url = address.removeprefix(SLACK)
        try:
            parsed = urllib3.util.parse_url(url)
            usable = parsed.scheme in ("http", "https") and parsed.host
        except urllib3.exceptions.LocationParseError:
            usable = None
        if not usable:
            raise SettingsError(
                f"{VARIABLE} must be an address as in https://example.com/alarms, or "
                f"{SLACK}https://... for the form of Slack"
            )
        return cls(url, address.startswith(SLACK))

    def tell(self, home: str, changes: Sequence[Change]) -> str:
        """Send changes in one request; return why it failed, or an empty text.

        A failure does not stop the watch, because the changes are in the log too.
        """
        body = self._body(home, changes)
        try:
            with urllib3.PoolManager(retries=RETRIES, timeout=TIMEOUT) as http:
                answer = http.request("POST", self.url, json=body)
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            return f"the webhook could not be told: {type(reason).__name__}"
        return "" if answer.status < 300 else f"the webhook answered {answer.status}"

    def _body(self, home: str, changes: Sequence[Change]) -> dict[str, Any]:
        if self.is_slack:
            # Slack reads & < > as markup.
            text = "\n".join(f"{home}: {change}" for change in changes)
            for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
                text = text.replace(sign, escaped)
            return {"text": text}
        return {"home": home, "changes": [change.as_json() for change in changes]}
