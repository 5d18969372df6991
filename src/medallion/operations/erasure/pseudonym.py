"""The replacement of a customer's id by a pseudonym in lines and texts."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from functools import cached_property

from medallion.cleaning.exact import read_object
from medallion.contract import WHITE_SPACE, Feed

SHORTEST_TOKEN = 4
"""Shorter ids are replaced only in customer_id: in free text they occur by chance."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_MEMBER = re.compile(rb'("customer_id"[ \t\r]*:[ \t\r]*)("(?:[^"\\]|\\.)*"|[0-9]+)')


@dataclass(frozen=True)
class Replacement:
    """A customer's id, and the pseudonym that replaces it.

    The id is the value of `customer_id`, trimmed as in the contract. An id of SHORTEST_TOKEN
    characters or more is also replaced as a whole word in fields that are not in the contract, and
    anywhere in a line that is not JSON. Other fields of the contract stay, because a basket with
    the same number is not that customer. All other bytes of a line stay the same.
    """

    customer: str
    pseudonym: str

    @classmethod
    def of(cls, customer: str) -> Replacement:
        """Return an id with a new random pseudonym, which is no shorter than the id."""
        size = max(8, len(customer.encode()) // 2)
        return cls(customer, f"forgotten-{secrets.token_hex(size)}")

    def may_be_in(self, data: bytes) -> bool:
        """Return whether bytes could hold the id, directly or with a JSON escape."""
        return self.customer.encode() in data or b"\\" in data

    def line(self, raw: bytes, feed: Feed) -> bytes:
        """Return a line with the id replaced."""
        if not self.may_be_in(raw):
            return raw
        if read_object(raw) is None:
            return self._broken(raw)
        return self._event(raw.decode(), feed).encode()

    def text(self, text: str) -> str:
        """Return a text with the id replaced where it is a whole word."""
        return self._word.sub(self.pseudonym, text) if self._is_word else text

    def is_customer(self, token: str) -> bool:
        """Return whether a JSON string or number is the id, as the cleaner reads a customer_id."""
        if not token.startswith('"'):
            return token == self.customer
        try:
            return str(json.loads(token)).strip(WHITE_SPACE) == self.customer
        except ValueError:
            return False

    @cached_property
    def _is_word(self) -> bool:
        return len(self.customer) >= SHORTEST_TOKEN

    @cached_property
    def _word(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![\w-]){re.escape(self.customer)}(?![\w-])")

    def _event(self, text: str, feed: Feed) -> str:
        """Return a JSON object in which only the tokens that hold the id are rewritten."""
        pieces, copied = list[str](), 0
        nesting, is_name, member = list[str](), False, ""
        for match in _TOKEN.finditer(text):
            token = match[0]
            if token in "{[":
                nesting.append(token)
                is_name = token == "{"
            elif token in "}]":
                nesting.pop()
            elif token in ",:":
                is_name = token == "," and nesting[-1] == "{"
            else:
                if is_name and len(nesting) == 1:
                    member = json.loads(token)
                is_field = len(nesting) == 1 and member in feed.names
                new = self._field(token, member, is_name) if is_field else self._other(token)
                if new != token:
                    pieces += [text[copied : match.start()], new]
                    copied = match.end()
        return "".join([*pieces, text[copied:]])

    def _field(self, token: str, member: str, is_name: bool) -> str:
        holds = member == "customer_id" and not is_name and self.is_customer(token)
        return json.dumps(self.pseudonym) if holds else token

    def _other(self, token: str) -> str:
        if not token.startswith('"'):
            return json.dumps(self.pseudonym) if self._is_word and token == self.customer else token
        value = json.loads(token)
        new = self.text(value)
        return token if new == value else json.dumps(new, ensure_ascii=False)

    def _broken(self, raw: bytes) -> bytes:
        """Return a line that is not JSON with the id replaced in its strings, then elsewhere."""
        name = json.dumps(self.pseudonym).encode()
        raw = _MEMBER.sub(
            lambda m: m[1] + name if self.is_customer(m[2].decode("utf-8", "replace")) else m[0],
            raw,
        )
        if not self._is_word:
            return raw
        raw = _STRING.sub(lambda m: self._broken_string(m[0]), raw)
        id_ = re.escape(self.customer.encode())
        return re.sub(rb"(?<![\w\x80-\xff-])" + id_ + rb"(?![\w\x80-\xff-])", name[1:-1], raw)

    def _broken_string(self, token: bytes) -> bytes:
        try:
            return self._other(token.decode()).encode()
        except ValueError:
            return token
