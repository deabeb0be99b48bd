"""The ready settings of `configs/`, by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from qstar_core.errors import ConfigError


def ready_configs() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def find_config(given: str | None) -> Path | None:
    """A file of that path, else the ready settings of that name."""
    if given is None:
        return None
    path = Path(given)
    if path.is_file() or path.suffix:
        return path
    if given in ready_configs():
        return _folder() / f"{given}.yaml"
    raise ConfigError(f"no settings file {given}", f"give a YAML file, or one of {', '.join(ready_configs())}")


def _folder() -> Path:
    return Path(str(files("configs")))
