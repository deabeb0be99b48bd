"""Where a project keeps its things: the nearest `.qstar` folder at or above the working directory, like git's.

`QSTAR_HOME` overrides the search. Models, the default store, the Prefect database and the local servers live below it.
"""

from __future__ import annotations

import os
from pathlib import Path

from qstar_core.config import Settings
from qstar_core.errors import StoreError


def home() -> Path:
    if given := os.environ.get("QSTAR_HOME"):
        return Path(given).expanduser().absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".qstar").is_dir():
            return folder / ".qstar"
    return here / ".qstar"


def subfolder(name: str) -> Path:
    path = home() / name
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create {path}: {error.strerror}", "set QSTAR_HOME to a writable folder") from None
    return path


def model_cache() -> Path:
    """Built-in models; QSTAR_MODEL_CACHE lets several projects share them."""
    if given := os.environ.get("QSTAR_MODEL_CACHE"):
        return Path(given).expanduser().absolute()
    return subfolder("models")


def store_uri(settings: Settings) -> str:
    return settings.store.uri or str(subfolder("store"))
