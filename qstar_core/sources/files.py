"""Which files a `source.path` means, in a fixed order: a file, a pattern, a folder's files, or the objects of a bucket.

Files of a folder or a bucket are chosen by the split that their names tell. Objects of a bucket are fetched one at a
time and removed again, so neither memory nor disk grows with the dataset.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from qstar_core.config import SourceSettings
from qstar_core.errors import ConfigError, DataError
from qstar_core.home import subfolder
from qstar_core.sources.readers.text import COMPRESSION
from qstar_core.store.objects import ObjectInfo, ObjectStore
from qstar_core.store.opening import open_store

KINDS = {".jsonl": "lines", ".ndjson": "lines", ".json": "json", ".csv": "csv", ".parquet": "parquet",
         ".arrow": "arrow"}
KNOWN = f"{', '.join(KINDS)}, the first four also as {' or '.join(COMPRESSION)}"
_SPLITS = {
    "train": {"train", "training"}, "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing", "eval", "evaluation"},
}


def kind_of(name: str) -> str | None:
    """How the file is read, by its name; None where that is not known."""
    path = PurePosixPath(name.replace("\\", "/").lower())
    if path.suffix in COMPRESSION:
        found = KINDS.get(path.with_suffix("").suffix)
        return found if found in ("lines", "json", "csv") else None
    return KINDS.get(path.suffix)


def is_saved(path: Path) -> bool:
    """A folder that `save_to_disk` wrote."""
    return (path / "state.json").is_file() or (path / "dataset_dict.json").is_file()


def is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def local_path(settings: SourceSettings) -> Path:
    path = Path(settings.path)
    return path.expanduser() if path.parts[:1] == ("~",) else path


def local_files(settings: SourceSettings) -> list[Path]:
    """The files of a folder or a pattern, hidden ones aside; empty where there is none of a known kind."""
    path = local_path(settings)
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.is_file() and kind_of(file.name)]
        named = {str(file.relative_to(path)): file for file in found
                 if not any(part.startswith(".") for part in file.relative_to(path).parts)}
        return [named[name] for name in of_split(sorted(named), settings)]
    anchor = Path(path.anchor) if path.is_absolute() else Path()
    pattern = str(path.relative_to(path.anchor)) if path.is_absolute() else str(path)
    return sorted(file for file in anchor.glob(pattern) if file.is_file() and kind_of(file.name))


def of_split(names: Sequence[str], settings: SourceSettings) -> list[str]:
    """Those whose name tells the split; where no name tells any split, all of them."""
    told = {name: _split_of(name) for name in names}
    if not any(told.values()):
        return list(names)
    wanted = next((split for split, words in _SPLITS.items() if settings.split in words), settings.split)
    chosen = [name for name in names if told[name] == wanted]
    if not chosen:
        splits = sorted({split for split in told.values() if split})
        raise DataError(f"{settings.path} has no files of split {settings.split!r}",
                        f"set source.split to {' or '.join(splits)}")
    return chosen


def bucket_files(settings: SourceSettings) -> tuple[ObjectStore, list[ObjectInfo]]:
    """The objects below an `s3://bucket/prefix`, or the one of that name."""
    bucket, _, key = settings.path.removeprefix("s3://").partition("/")
    try:
        store = open_store(f"s3://{bucket}", settings.s3)
    except ConfigError as error:
        raise ConfigError(error.problem.replace("store.uri", "source.path"), error.fix) from None
    below = f"{key.rstrip('/')}/" if key else ""
    found = {info.key: info for info in store.list(key.rstrip("/"))
             if kind_of(info.key) and (info.key == key or info.key.startswith(below))}
    names = [key] if key in found else [below + name for name in
                                        of_split(sorted(name.removeprefix(below) for name in found), settings)]
    if not names:
        raise DataError(f"no data files at {settings.path}", f"give objects whose names end in {KNOWN}")
    return store, [found[name] for name in names]


@contextmanager
def fetched(store: ObjectStore, key: str) -> Iterator[Path]:
    """The object as a local file of the same kind, for as long as the block runs."""
    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as folder:
        path = Path(folder) / PurePosixPath(key).name
        store.download(key, path)
        yield path


def _split_of(name: str) -> str | None:
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    return next((split for word in reversed(words) for split, known in _SPLITS.items() if word in known), None)
