"""Whether what a run will write can be written, tried before hours of work: results in the store, the page in its
folder. A StoreError says what cannot.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from qstar_core.errors import StoreError
from qstar_core.experiments.report import PAGE
from qstar_core.experiments.sections.base import FIGURES
from qstar_core.store.objects import ObjectStore


def try_store(store: ObjectStore) -> None:
    key = f"experiments/trial-{uuid.uuid4().hex}"
    store.write(key, b"trial")
    store.delete(key)


def try_page(folder: Path) -> None:
    trial = folder / f".trial-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"trial")
        trial.unlink()
        for name, is_right in ((PAGE, Path.is_file), (FIGURES, Path.is_dir)):
            if (folder / name).exists() and not (is_right(folder / name) and os.access(folder / name, os.W_OK)):
                raise StoreError(f"cannot write the page into {folder}: {name} there cannot be replaced",
                                 "move it away, or name another folder with --page")
    except OSError as error:
        raise StoreError(f"cannot write the page into {folder}: {error.strerror}",
                         "name another folder with --page") from None
