"""A folder of checkpoints that are made once per machine.

Contract: `<cache_dir>/<family>-<key>` either does not exist or is complete, whatever was killed and when; two
processes that ask for the same checkpoint make it once, the second one waits. What a killed maker left is removed
by the next one.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qstar_core.errors import ModelError


def made_once(cache_dir: Path, family: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder of this family and key; `make` fills an empty one if there is none yet."""
    final = cache_dir / f"{family}-{key}"
    if final.is_dir():
        return final
    with _only_maker(cache_dir, family):
        if final.is_dir():
            return final
        # Nobody else holds the lock, so every partial folder belongs to a maker that is gone.
        for left in cache_dir.glob(f".{family}-*.partial"):
            shutil.rmtree(left, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{family}-", suffix=".partial", dir=cache_dir))
        try:
            make(partial)
            # mkdtemp and safetensors make what only its owner may read; an image built by root runs as somebody else.
            for path in (partial, *partial.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final


@contextmanager
def _only_maker(cache_dir: Path, family: str) -> Iterator[None]:
    """Hold the family's lock. The kernel lets go of it when the process ends, however it ends."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        lock = (cache_dir / f".{family}.lock").open("w")
    except OSError as error:
        raise ModelError(f"the model cache {cache_dir} cannot be written: {error.strerror}",
                         "choose a cache folder that you may write to") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
