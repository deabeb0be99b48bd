"""All export formats by name. A new one is one file and one line here."""

from __future__ import annotations

from qstar_core.errors import ConfigError
from qstar_core.exports.axolotl import Axolotl
from qstar_core.exports.base import Format
from qstar_core.exports.hf import Hf
from qstar_core.exports.kinds import Kind
from qstar_core.exports.llama_factory import LlamaFactory
from qstar_core.exports.ms_swift import MsSwift
from qstar_core.exports.openrlhf import OpenRlhf
from qstar_core.exports.trl import TRL
from qstar_core.exports.verl import Verl

FORMATS: dict[str, Format] = {
    format_.name: format_ for format_ in (*TRL, LlamaFactory(), Axolotl(), MsSwift(), OpenRlhf(), Verl(), Hf())
}


def format_named(name: str) -> Format:
    if name not in FORMATS:
        raise ConfigError(f"export format {name!r} is unknown", f"use {', '.join(FORMATS)}")
    return FORMATS[name]


def kind_named(format_: Format, name: str | None) -> Kind:
    """The kind of rows that is asked for; without a name, the format's first."""
    if name is None:
        return format_.kinds[0]
    if name not in [kind.value for kind in format_.kinds]:
        raise ConfigError(f"{format_.name} takes no rows of kind {name!r}",
                          f"use {', '.join(kind.value for kind in format_.kinds)}")
    return Kind(name)
