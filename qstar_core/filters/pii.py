"""Drops completions with an e-mail address, a public IP address or an access key that the question does not have."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal

from pydantic import Field

from qstar_core.filters.base import Candidate, Filter, Options

Kind = Literal["email", "ip", "key"]

_EMAIL = re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_IP = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9a-fA-F]{1,4}:){2,7}(?::?[0-9a-fA-F]{1,4})?)(?![\w:]|\.\d)")
_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]{1,12} )?PRIVATE KEY-----|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,255}\b"
    r"|\bgithub_pat_[A-Za-z0-9_]{22,255}|\bsk-[A-Za-z0-9_-]{20,255}|\bhf_[A-Za-z0-9]{30,64}\b"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,255}|\bAIza[0-9A-Za-z_-]{35}|\beyJ[\w-]{10,2000}\.eyJ[\w-]{10,2000}\.[\w-]{10,2000}")
_EXAMPLE = re.compile(r"@(?:[\w-]+\.)*example\.(?:com|org|net)$", re.IGNORECASE)


class PiiOptions(Options):
    kinds: tuple[Kind, ...] = Field(("email", "ip", "key"), description="What is looked for")


class PiiFilter(Filter[PiiOptions]):
    name = "pii"
    options = PiiOptions
    spreads = True

    def judge(self, candidate: Candidate) -> str | None:
        question = candidate.prompt.question
        for kind in self._options.kinds:
            if any(found not in question for found in _found(kind, candidate.sample.completion)):
                return {"email": "e-mail address", "ip": "IP address", "key": "access key"}[kind]
        return None


def _found(kind: Kind, text: str) -> list[str]:
    if kind == "email":
        return [found for found in _EMAIL.findall(text) if not _EXAMPLE.search(found)] if "@" in text else []
    if kind == "key":
        return _KEY.findall(text)
    return [found for found in _IP.findall(text) if _public(found)]


def _public(text: str) -> bool:
    """Four small numbers with dots are mostly a version or a section; addresses of documentation are nobody's."""
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False
