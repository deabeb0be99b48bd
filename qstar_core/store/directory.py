"""An object store in a directory: each key is a file.

Writes replace files and never modify them, so a reader sees a whole object or none, a crash leaves no half-written
file under a final name, and copies may be hard links. Every change of a name happens under one `flock`, which makes
compare-and-swap hold between threads, processes and containers that share the disk. An etag is the SHA-256 of the
content. A key cannot be an object and a folder of other objects at once.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from qstar_core.errors import ConflictError, IntegrityError
from qstar_core.store import faults
from qstar_core.store.integrity import CHUNK, check_copied, sha256_file
from qstar_core.store.keys import TEMP, check_condition, check_key, check_prefix
from qstar_core.store.objects import ObjectInfo
from qstar_core.store.processes import alive, here

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK}
_ABANDONED_S = 24 * 3600


class DirectoryStore:
    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()
        self._temp = self._root / TEMP
        _remove_stale(self._temp)

    def __repr__(self) -> str:
        return f"DirectoryStore({self.uri!r})"

    @property
    def uri(self) -> str:
        return self._root.as_uri()

    def locate(self, key: str) -> str:
        return self._path(key).as_uri()

    def read(self, key: str) -> bytes:
        path = self._path(key)
        with faults.reading(path):
            _check_regular(path)
            return path.read_bytes()

    def read_with_etag(self, key: str) -> tuple[bytes, str]:
        data = self.read(key)
        return data, hashlib.sha256(data).hexdigest()

    def chunks(self, key: str, start: int = 0) -> Iterator[bytes]:
        return _chunks(self._path(key), start)

    def download(self, key: str, path: Path) -> None:
        source = self._path(key)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        with faults.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as target:
                    target.writelines(_chunks(source))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        check_condition(key, if_absent, if_match)
        return self._put(key, [data], if_absent=if_absent, if_match=if_match)

    def upload(self, key: str, path: Path, *, sha256: str | None = None) -> str:
        return self._put(key, _chunks(path), sha256=sha256)

    def copy(self, source: str, target: str, *, sha256: str | None = None) -> None:
        origin, final = self._path(source), self._path(target)
        with faults.writing(final), self._temporary() as temp:
            with faults.reading(origin):
                linked = _linked(origin, temp)
            found = None if linked else _fill(temp, _chunks(origin))
            if sha256 is not None:
                check_copied(self.locate(source), found or sha256_file(temp), sha256)
            self._commit(temp, final)

    def head(self, key: str) -> ObjectInfo | None:
        path = self._path(key)
        with faults.reading(path):
            try:
                _check_regular(path)
                with path.open("rb") as file:
                    status = os.fstat(file.fileno())
                    return ObjectInfo(key=key, size=status.st_size, etag=_etag(file), modified=status.st_mtime)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        base = self._root / check_prefix(prefix).rpartition("/")[0]
        with faults.reading(base):
            keys = sorted(key for key in self._walk(base) if key.startswith(prefix))
        for key in keys:
            info = self.head(key)
            if info is not None:  # deleted since the walk
                yield info

    def delete(self, key: str) -> None:
        path = self._path(key)
        with faults.writing(path):
            if not path.is_file():
                return
            _make_folder(self._temp)
            with self._lock():
                path.unlink(missing_ok=True)
            _sync(path.parent)

    def empty_folders(self, prefix: str, *, remove: bool = False) -> int:
        """Removed under the lock under which a writer makes the folder that it writes into."""
        base = self._root / check_prefix(prefix).rpartition("/")[0]
        with faults.writing(base):
            if not remove or not base.is_dir():
                return len(_empty(base))
            _make_folder(self._temp)
            with self._lock():
                found = _empty(base)
                for folder in found:
                    folder.rmdir()
                return len(found)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _walk(self, base: Path) -> Iterator[str]:
        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise error

        for folder, folders, files in os.walk(base, onerror=refuse):
            if folder == str(self._root) and TEMP in folders:
                folders.remove(TEMP)
            for name in files:
                yield (Path(folder) / name).relative_to(self._root).as_posix()

    def _put(self, key: str, chunks: Iterable[bytes], *, if_absent: bool = False, if_match: str | None = None,
             sha256: str | None = None) -> str:
        target = self._path(key)
        with faults.writing(target), self._temporary() as temp:
            etag = _fill(temp, chunks)
            if sha256 not in (None, etag):
                raise IntegrityError(f"what was stored as {target} changed while it was read",
                                     "write it to the end before it is stored")
            self._commit(temp, target, if_absent=if_absent, if_match=if_match)
        return etag

    def _commit(self, temp: Path, target: Path, *, if_absent: bool = False, if_match: str | None = None) -> None:
        """Give the finished file its name, if the condition holds. Unconditional writes take the lock too: one that
        fell between another writer's comparison and its replacement would be lost."""
        with self._lock():
            _make_folder(target.parent)  # under the lock, so that nobody removes it as an empty one
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if if_match is not None and (not target.exists() or sha256_file(target) != if_match):
                raise ConflictError(f"{target} changed since it was read", "read it again and repeat the change")
            if if_absent:
                try:
                    os.link(temp, target)
                except FileExistsError as error:
                    raise ConflictError(f"{target} exists already", "choose another name or read it") from error
            else:
                temp.replace(target)
        _sync(target.parent)

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A new name on the store's own file system. It names its owner, so that another process can tell when the
        owner has died."""
        _make_folder(self._temp)
        temp = self._temp / f"{here()}@{os.getpid()}@{uuid.uuid4().hex}"
        try:
            yield temp
        finally:
            # also after a rename: POSIX leaves both names when they are links to one file
            temp.unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        handle = os.open(self._temp / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            # by name, not by closing: a child forked meanwhile holds the same lock until it is released
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)


def _chunks(path: Path, start: int = 0) -> Iterator[bytes]:
    with faults.reading(path):
        _check_regular(path)
    with faults.reading(path), path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(CHUNK):
            yield chunk


def _check_regular(path: Path) -> None:
    """A pipe or a device, which may never end, is no object."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _fill(temp: Path, chunks: Iterable[bytes]) -> str:
    """Write and flush to the disk; return the SHA-256."""
    digest = hashlib.sha256()
    with temp.open("xb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        _remember(file.fileno(), digest.hexdigest())
        os.fsync(file.fileno())
    return digest.hexdigest()


_ATTRIBUTE = "user.qstar.sha256"


def _remember(handle: int, digest: str) -> None:
    """Keep the hash beside the file, so that listing does not read gigabytes. The modification time stands with it: it
    exposes a file that somebody edited in place. A file system without attributes only costs the hashing."""
    with suppress(OSError, AttributeError):
        os.setxattr(handle, _ATTRIBUTE, f"{os.fstat(handle).st_mtime_ns}:{digest}".encode())


def _etag(file: BufferedReader) -> str:
    with suppress(OSError, AttributeError):
        modified, _, digest = os.getxattr(file.fileno(), _ATTRIBUTE).decode().partition(":")
        if modified == str(os.fstat(file.fileno()).st_mtime_ns):
            return digest
    return hashlib.file_digest(file, "sha256").hexdigest()


def _linked(source: Path, target: Path) -> bool:
    if not source.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def _empty(base: Path) -> list[Path]:
    """Folders without a file below them, the deepest first; `base` is not among them."""
    filled = {base}
    found = []
    for name, folders, files in os.walk(base, topdown=False):
        folder = Path(name)
        if files or folder in filled or any((folder / inner).is_symlink() for inner in folders):
            filled |= {folder, folder.parent}
        else:
            found.append(folder)
    return found


def _make_folder(folder: Path) -> None:
    """Create it and its parents, and flush each new name, so that a power cut cannot take a finished object along."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        _sync(path.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_stale(folder: Path) -> None:
    """Remove what dead writers left. A store that cannot be cleaned (read-only, say) can still be read."""
    with suppress(OSError):
        for path in folder.iterdir():
            host, _, rest = path.name.partition("@")
            pid = rest.partition("@")[0]
            if pid.isdigit() and _abandoned(path, host, int(pid)):
                path.unlink(missing_ok=True)


def _abandoned(path: Path, host: str, pid: int) -> bool:
    if host != here():
        return time.time() - path.stat().st_mtime > _ABANDONED_S
    return not alive(pid)
