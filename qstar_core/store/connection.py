"""How a bucket is reached: the user's settings, and what only tests and the local server set.

No secret stands here. Credentials come from boto3's own chain (environment, profile, role), or from
`credentials_file`, which has AWS's format.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field

from qstar_core.config import S3Settings
from qstar_core.errors import ConfigError

_LABEL = re.compile(r"(?!-)[A-Za-z\d-]{1,63}(?<!-)")  # of a host's name, as boto takes it


class S3Connection(S3Settings):
    credentials_file: Path | None = None
    part_mb: int = Field(16, ge=5, le=5000)
    max_attempts: int = Field(4, ge=1, le=20)
    connect_timeout_s: float = Field(5.0, gt=0)
    read_timeout_s: float = Field(60.0, gt=0)

    @classmethod
    def of(cls, settings: S3Settings) -> S3Connection:
        """The settings with the rest of a connection. ConfigError for an unusable address, which it does not repeat."""
        _check_address("https://aws" if settings.endpoint_url is None else settings.endpoint_url)
        if settings.kms_key_id and settings.sse != "aws:kms":
            raise ConfigError("store.s3.kms_key_id is set, but store.s3.sse is not aws:kms", "set store.s3.sse=aws:kms")
        return settings if isinstance(settings, cls) else cls(**settings.model_dump())


def _check_address(url: str) -> None:
    unusable = ConfigError("store.s3.endpoint_url is no address", "write http://host:port or https://host")
    try:
        address = urlsplit(url)
        host = address.hostname or ""
        if ":" in host:
            IPv6Address(host)
        valid = address.scheme in ("http", "https") and address.port != 0 and bool(
            ":" in host or all(_LABEL.fullmatch(part) for part in host.removesuffix(".").split(".")))
    except ValueError:
        raise unusable from None
    if "@" in address.netloc:
        raise ConfigError("store.s3.endpoint_url holds credentials", "put them into a profile or the environment")
    if not valid:
        raise unusable
