"""A loop as one HTML page: self-contained, without a script, every text escaped, light and dark like the report."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from qstar_core.evaluation.paired import Difference
from qstar_core.evaluation.score import Measure
from qstar_core.loop.beside import Beside, Solved
from qstar_core.loop.book import Book
from qstar_core.loop.charts import charts
from qstar_core.loop.records import Round
from qstar_core.loop.summary import Row, Summary
from qstar_core.report.render import style_sheet
from qstar_core.report.text import cut, number

_HERE = Path(__file__).parent
_LONGEST = 600


def write_page(book: Book, summary: Summary, found: Beside | None) -> str:
    """Where it is. It is the only object of a loop that changes."""
    key = f"{book.key}/loop.html"
    book.store.write(key, render_page(summary, found).encode("utf-8", "replace"))
    return book.store.locate(key)


def render_page(summary: Summary, found: Beside | None) -> str:
    style = style_sheet() + (_HERE / "page.css").read_text(encoding="utf-8")
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    begun = summary.begun
    return environment.get_template("page.html.j2").render(
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'",
        style=Markup(style),  # our own files, the only text that is not escaped
        line=cut(begun.line, 100), name=cut(begun.loop, 100), created=cut(begun.created, 100),
        told=cut(summary.told, _LONGEST), figure=cut(summary.figure, 100),
        verdict="pass" if summary.promotions else "warn", headline=_headline(summary, found),
        result=_result(summary),
        tiles=_tiles(summary, found), charts=charts(summary), sets=[cut(name, 100) for name, _ in summary.sets],
        rows=[_row(summary, row) for row in summary.rows], rounds=[_decision(one) for one in summary.rounds],
        solved=None if found is None else _solved(found.solved),
    )


def _result(summary: Summary) -> str:
    first, last = summary.rows[0].measures[summary.target], summary.rows[-1].measures[summary.target]
    return f"{first.value:.3f} → {last.value:.3f}"


def _headline(summary: Summary, found: Beside | None) -> str:
    if found is None:
        return f"the line’s student is the one of the beginning; {len(summary.rounds)} rounds"
    change = found.changes[found.target]
    return f"{found.target}: {changed(change)}, {found.test.statistic}, p = {found.test.p:.2g}"


def _tiles(summary: Summary, found: Beside | None) -> list[tuple[str, str, str]]:
    first, last = summary.rows[0].measures[summary.target], summary.rows[-1].measures[summary.target]
    per_point = summary.gain or None
    tiles = [(summary.target, f"{last.value:.3f}", f"from {first.value:.3f} in round 0"),
             ("promotions", f"{summary.promotions} of {len(summary.rounds)}", "rounds whose student was better"),
             ("tokens of q*", f"{summary.tokens:,}", "drawn in all rounds"),
             ("work", f"{summary.seconds:,.0f} s", "of all steps")]
    if per_point is not None and per_point > 0:
        tiles.append(("cost of a point", f"{summary.tokens / per_point:,.0f} tokens",
                      f"and {summary.seconds / per_point:,.1f} s per point of {summary.figure}"))
    if found is not None:
        for name, change in found.changes.items():
            if name != found.target:
                value, _, interval = changed(change).partition(" ")
                tiles.append((f"{name}, new − old", value, interval))
    return [(cut(name, 100), value, cut(note, 200)) for name, value, note in tiles]


def _row(summary: Summary, row: Row) -> dict[str, Any]:
    done = row.round
    told = {"number": row.number, "gain": f"{row.gain:+.1f}".replace("-", "−") if done else "",
            "measures": [shown(row.measures.get(f"{name}/{summary.figure}")) for name, _ in summary.sets],
            "verdict": "" if done is None else "promoted" if done.promoted else "kept"}
    if done is None:
        return {**told, "apart": [""] * 4, "cost": []}
    data, tokens, seconds = done.refreshed, row.per_point(row.tokens), row.per_point(row.seconds)
    return {
        **told,
        "apart": [number(value) for value in (data.alpha, data.kl_theta, data.kl_t, data.divergent)],
        "cost": [f"{data.samples:,}", f"{data.version.rows:,}", f"{data.tokens:,}", f"{done.refreshed.seconds:,.0f}",
                 f"{done.retrained.seconds:,.0f}", f"{done.evaluated.seconds:,.0f}",
                 "—" if tokens is None else f"{tokens:,.0f}", "—" if seconds is None else f"{seconds:,.1f}"],
    }


def _decision(one: Round) -> dict[str, Any]:
    made = one.retrained.checkpoint
    return {
        "number": one.number, "verdict": "promoted" if one.promoted else "kept",
        "told": cut(one.concluded.told, _LONGEST),
        "version": cut(f"{one.refreshed.version.dataset} {one.refreshed.version.version}", 200),
        "checkpoint": cut(f"{made.line} {made.id}", 200), "recipe": cut(made.recipe, 100),
        "seconds": [("refresh", one.refreshed.seconds), ("retrain", one.retrained.seconds),
                    ("evaluate", one.evaluated.seconds)],
        "reasons": [(cut(reason.name, 200), reason.passed, cut(reason.told, _LONGEST))
                    for reason in one.evaluated.decision.reasons],
    }


def _solved(solved: Solved) -> list[tuple[str, str]]:
    told = (("problem", solved.question), ("answer", solved.gold), ("the student of the beginning", solved.before),
            ("the teacher, hinted", solved.teacher), ("the student now", solved.after))
    return [(name, cut(text, 2_000)) for name, text in told]


def changed(change: Difference) -> str:
    """A difference with its interval."""
    return f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})".replace("-", "−")


def shown(measure: Measure | None) -> str:
    """A value with its interval."""
    if measure is None:
        return "—"
    if measure.low is None or measure.high is None:
        return f"{measure.value:.3f}"
    return f"{measure.value:.3f} ({measure.low:.2f} to {measure.high:.2f})"
