"""The core: `from qstar_core import Mixture, generate` samples from q*, the mixture of a student and a teacher.

The names below are loaded when they are first asked for: `import qstar_core` alone imports no model library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qstar_core.api import Drawn, Mixture, Progress, Samples, generate
    from qstar_core.tables import columns, token_columns

__all__ = ["Drawn", "Mixture", "Progress", "Samples", "columns", "generate", "token_columns"]

_HOMES = {"columns": "qstar_core.tables", "token_columns": "qstar_core.tables"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "qstar_core.api")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
