"""From `store.uri` to a store: `s3://bucket/prefix`, a `file://` uri, or the path of a directory."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from qstar_core.config import S3Settings
from qstar_core.errors import ConfigError
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.objects import ObjectStore

_FIX = "use s3://bucket/prefix, file:///folder, or the path of a folder"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def open_store(uri: str, s3: S3Settings | None = None) -> ObjectStore:
    """The store that the uri names. `s3` says how to reach a bucket and is not used by directories.

    Nothing is contacted or created: a wrong address shows at the first read or write.
    """
    match = _SCHEME.match(uri)
    scheme = match.group(1).lower() if match else ""
    if not uri.strip() or "\x00" in uri:
        raise ConfigError("store.uri is empty or holds a NUL character", _FIX)
    if not scheme:
        return DirectoryStore(Path(uri))
    if scheme == "file":
        return DirectoryStore(_file_path(uri))
    if scheme == "s3":
        return _open_s3(uri, s3)
    # only the scheme: the rest of such a uri may hold a password
    raise ConfigError(f"store.uri has the unknown scheme {scheme!r}", _FIX)


def _file_path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or not parts.path or parts.query or parts.fragment:
        raise ConfigError("store.uri is not a file uri of this machine", _FIX)
    return Path(unquote(parts.path))


def _open_s3(uri: str, settings: S3Settings | None) -> ObjectStore:
    # here, because boto3 is slow to import and a directory does not need it
    from qstar_core.store.s3 import S3Store

    bucket, _, prefix = uri.split(":", 1)[1].removeprefix("//").partition("/")
    if "@" in bucket:
        raise ConfigError("store.uri holds credentials", "put them into a profile or the environment")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(f"store.uri has no valid bucket name ({bucket!r})", _FIX)
    return S3Store(bucket, prefix.strip("/"), settings)
