"""A folder that appears whole or not at all.

It is filled beside its place and moved there at the end. What is there already stays, unless it is asked to go and is
an export itself: a wrong path must not cost anybody their files.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qstar_core.errors import ConfigError, StoreError


def check_place(out: Path, mark: str, *, overwrite: bool) -> None:
    """ConfigError where the folder must not be written. `mark` is the file by which an export is known."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / mark).is_file():
        raise ConfigError(f"{out} is there already and is no export", "name another folder with --out")
    if not overwrite:
        raise ConfigError(f"{out} is there already", "name another folder with --out, or add --overwrite")


@contextmanager
def new_folder(out: Path, mark: str, *, overwrite: bool) -> Iterator[Path]:
    """The folder to fill; after an error there is none."""
    check_place(out, mark, overwrite=overwrite)
    part, old = (out.with_name(f".{out.name}.{uuid.uuid4().hex}.{end}") for end in ("part", "old"))
    try:
        part.mkdir(parents=True)
        yield part
        _replace(out, part, old)
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror or error}",
                         "make room there, or name another folder with --out") from error
    finally:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)


def _replace(out: Path, part: Path, old: Path) -> None:
    """What was there comes back if the new folder cannot take its place."""
    there = out.exists() and any(out.iterdir())
    if there:
        out.rename(old)
    try:
        part.rename(out)
    except OSError:
        if there:
            old.rename(out)
        raise
