"""A dataset version as one HTML page that a person reads.

The page is self-contained: it opens from disk without network, runs no script, and its content security policy lets
nothing in but its own style sheet and its embedded figures. Every text of the dataset or a model is escaped. The
same data give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from qstar_core.records import Outcome
from qstar_core.report.charts import Chart, charts
from qstar_core.report.data import ReportData
from qstar_core.report.overview import (
    SPEED_LABELS,
    check_views,
    flat,
    funnel_views,
    gate_sentence,
    key_figures,
    replay_sentence,
)
from qstar_core.report.samples import sample_views
from qstar_core.report.text import cut, number, visible

_HERE = Path(__file__).parent


def render_report(data: ReportData, drawn: tuple[Chart, ...] | None = None) -> str:
    """The whole page. DataError where a sample's tokens do not fit its trace. `drawn` are its figures, where the caller
    has drawn them already."""
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    style = (_HERE / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    outcomes = Counter(shown.verdict.outcome.value for shown in data.samples)
    return environment.get_template("page.html.j2").render(
        # The policy names the hash of the sheet, so that no other style can take effect.
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'",
        style=Markup(style),  # our own file, the only text that is not escaped
        dataset=cut(data.dataset, 200),
        version=cut(data.version, 200),
        round=cut(data.round, 200),
        created=cut(data.created, 200),
        verdict=data.gate.verdict,
        gate_sentence=gate_sentence(data.gate),
        checks=check_views(data.gate.checks),
        figures=key_figures(data),
        funnel=funnel_views(data.funnel),
        replay=replay_sentence(data.replay),
        charts=charts(data.summaries, data.samples) if drawn is None else drawn,
        models=tuple((cut(role, 200), cut(model.name, 200), cut(model.revision or "—", 200), visible(model.sha256[:16]),
                      cut(model.path, 500)) for role, model in data.models.items()),
        settings=flat(data.settings),
        speed=tuple((cut(key, 200), number(value)) for key, value in data.speed.items() if key not in SPEED_LABELS),
        samples=sample_views(data.samples),
        outcomes=tuple((outcome.value, outcomes[outcome.value]) for outcome in Outcome),
    )
