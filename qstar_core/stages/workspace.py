"""What every stage is given: the settings, the store they name, and where things of a round lie in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from qstar_core.config import Settings
from qstar_core.errors import ConfigError
from qstar_core.home import store_uri, subfolder
from qstar_core.store import faults
from qstar_core.store.objects import ObjectStore
from qstar_core.store.opening import open_store

_ROUND_ALPHABET = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def today(time_zone: str = "UTC") -> str:
    """The round of a nightly run is its date."""
    return datetime.now(ZoneInfo(time_zone)).date().isoformat()


def check_round_name(name: str) -> None:
    if not name or len(name) > 100 or not set(name) <= _ROUND_ALPHABET or name.startswith("."):
        raise ConfigError(f"round {name[:110]!r} cannot be a name", "use up to 100 letters, digits, '.', '_' and '-'")


@dataclass(frozen=True, slots=True)
class Workspace:
    settings: Settings
    store: ObjectStore

    @classmethod
    def open(cls, settings: Settings) -> Workspace:
        return cls(settings, open_store(store_uri(settings), settings.store.s3))

    @property
    def dataset_key(self) -> str:
        return f"datasets/{self.settings.dataset}"

    def round_key(self, round_name: str) -> str:
        check_round_name(round_name)
        return f"{self.dataset_key}/rounds/{round_name}"

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A local folder for the files of one stage, gone afterwards."""
        place = subfolder("scratch")
        with faults.filling(place), tempfile.TemporaryDirectory(dir=place) as folder:
            yield Path(folder)
