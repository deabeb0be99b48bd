"""States to resume from: the trainer's `checkpoint-N` folders, of which only those that were sealed count.

A seal holds the size and hash of every file and is written last, so a state that a kill cut short, or that was damaged
since, is removed and the one before is taken.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from qstar_core.store.integrity import sha256_file

_SEAL = "sealed.json"
_OTHERS = "rng_state_"  # the random states of several processes, each of which writes its own


def seal(state: Path) -> None:
    files = {path.name: sha256_file(path) for path in sorted(state.iterdir())
             if path.is_file() and not path.name.startswith(_OTHERS)}
    part = state / f".{_SEAL}.part"
    part.write_text(json.dumps(files), encoding="utf-8")
    part.replace(state / _SEAL)


def newest(folder: Path) -> Path | None:
    """The newest sound state; those that are not are removed."""
    for state in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        if _sound(state):
            return state
        shutil.rmtree(state)
    return None


def _step(state: Path) -> int:
    number = state.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _sound(state: Path) -> bool:
    try:
        files = json.loads((state / _SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(files) and all((state / name).is_file() and sha256_file(state / name) == sha256
                               for name, sha256 in files.items())
