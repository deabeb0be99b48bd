"""A dataset version as one HTML page that a person reads.

The page is self-contained: it opens from disk without network, and its content security policy lets in nothing but its
own style sheet, its own script and its embedded figures. Every text of the dataset or a model is escaped, or lies in
data blocks from which the script makes text nodes; the policy forbids the script any other way. The same data give the
same bytes. Its size stays below the limit that the data name, as long as the page without samples does.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from qstar_core.records import Outcome
from qstar_core.report.charts import Chart, charts
from qstar_core.report.data import ReportData
from qstar_core.report.embed import NOTHING, Embedded, embed
from qstar_core.report.overview import (
    SPEED_LABELS,
    check_views,
    flat,
    funnel_views,
    gate_sentence,
    key_figures,
    replay_sentence,
)
from qstar_core.report.text import cut, number, visible

_HERE = Path(__file__).parent
# In the order in which they build on each other; together they are one module of the page.
SCRIPTS = ("dom.js", "data.js", "query.js", "table.js", "tokens.js", "sample.js", "main.js")


def render_report(data: ReportData, drawn: tuple[Chart, ...] | None = None) -> str:
    """The whole page. DataError where a sample's tokens do not fit its trace. `drawn` are its figures, where the caller
    has drawn them already."""
    fixed = _fixed(data, charts(data.summaries, data.samples) if drawn is None else drawn)
    limit = int(1e6 * data.megabytes)
    bare = len(_page(fixed, data, NOTHING, 0).encode())
    embedded = embed(data.samples, limit - bare)
    return _page(fixed, data, embedded, bare + embedded.size)


def style_sheet() -> str:
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in ("style.css", "browser.css"))


def script() -> str:
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)


def _page(fixed: dict[str, Any], data: ReportData, embedded: Embedded, size: int) -> str:
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("page.html.j2").render(
        **fixed, outcomes=[outcome.value for outcome in Outcome], blocks=embedded.blocks, listed=embedded.listed,
        told=embedded.told, total=data.total, size=f"{size / 1e6:.1f}", limit=number(data.megabytes),
    )


def _fixed(data: ReportData, drawn: tuple[Chart, ...]) -> dict[str, Any]:
    style, code = style_sheet(), script()
    return {
        # The policy names the hashes of the sheet and the script, so that no others can take effect; and with trusted
        # types no text can become markup or code, whatever the script does with it.
        "policy": f"default-src 'none'; script-src 'sha256-{_digest(code)}'; style-src 'sha256-{_digest(style)}'; "
                  "img-src data:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; "
                  "trusted-types 'none'",
        "style": Markup(style), "script": Markup(code),  # our own files, the only texts that are not escaped
        "dataset": cut(data.dataset, 200), "version": cut(data.version, 200), "round": cut(data.round, 200),
        "created": cut(data.created, 200), "verdict": data.gate.verdict, "gate_sentence": gate_sentence(data.gate),
        "checks": check_views(data.gate.checks), "figures": key_figures(data), "funnel": funnel_views(data.funnel),
        "files": tuple(cut(name, 200) for name in data.files),
        "replay": replay_sentence(data.replay), "charts": drawn,
        "models": tuple((cut(role, 200), cut(model.name, 200), cut(model.revision or "—", 200),
                         visible(model.sha256[:16]), cut(model.path, 500)) for role, model in data.models.items()),
        "settings": flat(data.settings),
        "speed": tuple((cut(key, 200), number(value)) for key, value in data.speed.items()
                       if key not in SPEED_LABELS),
    }


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
