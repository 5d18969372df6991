"""Who may send events: a bearer token, or requests that are signed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from medallion.errors import SettingsError

TOLERANCE = 300
"""Seconds by which the time of a signed request may differ from the clock of this machine."""


@dataclass(frozen=True)
class Keys:
    """The secrets of producers. Without any, everybody who reaches the collector may send.

    - `token`: of `Authorization: Bearer TOKEN`.
    - `shopify`: the client secret by which Shopify signs webhooks.
    - `webhook`: the secret of Standard Webhooks, `whsec_` and base64.
    """

    token: str = field(default="", repr=False)
    shopify: str = field(default="", repr=False)
    webhook: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Keys:
        """Read the secrets from MEDALLION_COLLECT_TOKEN, _SHOPIFY_SECRET and _WEBHOOK_SECRET.

        Raises:
            SettingsError: a secret cannot be used.
        """
        keys = cls(
            environment.get("MEDALLION_COLLECT_TOKEN", ""),
            environment.get("MEDALLION_COLLECT_SHOPIFY_SECRET", ""),
            environment.get("MEDALLION_COLLECT_WEBHOOK_SECRET", ""),
        )
        try:
            _webhook_key(keys.webhook)
        except ValueError as error:
            raise SettingsError(
                "MEDALLION_COLLECT_WEBHOOK_SECRET must be whsec_ and base64, as the sender shows it"
            ) from error
        return keys

    def __bool__(self) -> bool:
        return bool(self.token or self.shopify or self.webhook)

    def admit(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Return whether a request may be taken.

        Args:
            headers: by name in lower case.
            body: the bytes as they were sent.
            now: seconds since 1970.
        """
        return (
            not self
            or _has_token(self.token, headers)
            or _signed_by_shopify(self.shopify, headers, body)
            or _signed_as_webhook(self.webhook, headers, body, now)
        )


def _has_token(token: str, headers: Mapping[str, str]) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return bool(token) and scheme.lower() == "bearer" and _equal(given.strip(), token)


def _signed_by_shopify(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether Shopify has signed: base64 of HMAC-SHA256 over the body.

    Source: shopify.dev, "Deliver webhooks through HTTPS", Validate the origin of your webhook.
    """
    if not secret:
        return False
    return _equal(headers.get("x-shopify-hmac-sha256", ""), _mac(secret.encode(), body))


def _signed_as_webhook(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Return whether the request is signed as Standard Webhooks say, not long ago.

    Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md: the content
    is `id.timestamp.body`, and the header may hold several signatures, each after its version.
    """
    identity, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not secret or not stamp.isascii() or not stamp.isdecimal():
        return False
    if abs(now - int(stamp)) > TOLERANCE:
        return False
    wanted = _mac(_webhook_key(secret), f"{identity}.{stamp}.".encode() + body)
    given = [word.partition(",") for word in headers.get("webhook-signature", "").split()]
    return any(version == "v1" and _equal(text, wanted) for version, _, text in given)


def _webhook_key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error


def _mac(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
