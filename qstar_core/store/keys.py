"""What a key may look like. Both stores accept the same keys, so that data can move from one to the other.

A key is relative, `/`-separated, without empty, `.` or `..` parts and without control characters (S3 lists keys as XML,
which cannot carry them). `.tmp` as the first part belongs to the directory store.
"""

from __future__ import annotations

from qstar_core.errors import StoreError

TEMP = ".tmp"
_FIX = "use relative parts joined by '/', such as 'datasets/night/manifest.json'"


def check_key(key: str) -> str:
    """The key itself, or a StoreError that says what is wrong with it."""
    try:
        too_long = len(key.encode()) > 1024
    except UnicodeEncodeError:
        raise StoreError(f"key {key!r} is not valid Unicode", _FIX) from None
    parts = key.split("/")
    if too_long:
        raise StoreError(f"key {key[:60]!r}… is longer than 1024 bytes", "shorten it")
    if any(ord(character) < 32 or ord(character) == 127 for character in key):
        raise StoreError(f"key {key!r} holds a control character", _FIX)
    if any(part in ("", ".", "..") for part in parts):
        raise StoreError(f"key {key!r} is absolute or has an empty, '.' or '..' part", _FIX)
    if parts[0] == TEMP:
        raise StoreError(f"key {key!r} lies in the store's own folder {TEMP!r}", "use another name")
    return key


def check_prefix(prefix: str) -> str:
    """A prefix is empty, or the beginning of a key; it may end inside a part."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def check_condition(key: str, if_absent: bool, if_match: str | None) -> None:
    if if_absent and if_match is not None:
        raise StoreError(f"write of {key!r} asks for if_absent and if_match together", "give one of them")
