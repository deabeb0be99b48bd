"""All draws of a round, prompt by prompt, on disk: memory holds the draws of one prompt, whatever the round's size.

Kept rows, rejects and diagnostics lie in files of their own and in orders of their own; SQLite joins them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import TracebackType

from qstar_core.errors import DataError
from qstar_core.records import JsonObject, Outcome
from qstar_core.selection.draws import Draw

_COLUMNS = ("sample_id", "prompt_id", "position", "kept", "completion", "prompt", "answer", "kind", "source", "stage",
            "reason", "score")
_MEASURED = ("score", "logq", "logp_t", "alpha")


class DrawTable:
    """Use as a context; the file is gone with the folder it lies in."""

    def __init__(self, path: Path, score_column: str) -> None:
        self._score = score_column
        self._base = sqlite3.connect(path)
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute(f"CREATE TABLE draws ({', '.join(_COLUMNS)}, PRIMARY KEY (sample_id))")
        self._base.execute(f"CREATE TABLE measured (sample_id PRIMARY KEY, {', '.join(_MEASURED)})")

    def add_kept(self, row: JsonObject) -> None:
        *prompt, said = row["messages"]
        self._add(row, kept=1, completion=said["content"], prompt=prompt)

    def add_reject(self, row: JsonObject) -> None:
        """Rows that never became a prompt, and samples that failed, are no draws."""
        if row["sample_id"] is not None and row["outcome"] == Outcome.DROPPED.value:
            self._add(row, kept=0, completion=row["completion"], prompt=row.get("prompt"))

    def add_diagnostics(self, row: JsonObject) -> None:
        tokens = row["tokens"]
        logq, logp_t = (_per_token(row[name], tokens) for name in ("logq_sum", "logp_t_sum"))
        self._base.execute("INSERT OR REPLACE INTO measured VALUES (?, ?, ?, ?, ?)",
                           (row["sample_id"], self._number(row), logq, logp_t, row["alpha_mean"]))

    def _add(self, row: JsonObject, *, kept: int, completion: str, prompt: list[JsonObject] | None) -> None:
        self._base.execute(
            f"INSERT OR REPLACE INTO draws VALUES ({', '.join('?' * len(_COLUMNS))})",
            (row["sample_id"], row["prompt_id"], -1 if row["sample_idx"] is None else row["sample_idx"], kept,
             _bytes(completion), None if prompt is None else json.dumps(prompt), _bytes(row["answer"]),
             row.get("kind"), row["source"], row.get("stage", ""), row.get("reason", ""), self._number(row)))

    def _number(self, row: JsonObject) -> float | None:
        value = row.get(self._score)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise DataError(f"column {self._score!r} of sample {row['sample_id']} holds {value!r:.40}, not a number",
                            "name the column of the reward in best_of.score_column")
        return value

    def prompts(self) -> Iterator[list[Draw]]:
        """The draws of one prompt after another, in the order of prompt ids."""
        rows = self._base.execute(
            f"SELECT {', '.join('d.' + name for name in _COLUMNS[:-1])}, coalesce(m.score, d.score), m.logq, m.logp_t, "
            "m.alpha FROM draws d LEFT JOIN measured m USING (sample_id) ORDER BY d.prompt_id, d.position, d.sample_id")
        for _, group in groupby((_draw(row) for row in rows), key=lambda draw: draw.prompt_id):
            yield _whole(list(group))

    def __enter__(self) -> DrawTable:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._base.close()


def _per_token(total: float | None, tokens: int | None) -> float | None:
    return None if total is None or not tokens else total / tokens


def _bytes(text: str | None) -> bytes | None:
    """SQLite's text ends at a NUL and refuses lone surrogates; bytes hold everything."""
    return None if text is None else text.encode("utf-8", "surrogatepass")


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "surrogatepass")


def _draw(row: tuple[object, ...]) -> Draw:
    values = dict(zip((*_COLUMNS, "logq", "logp_t", "alpha"), row, strict=True))
    prompt = values["prompt"]
    values |= {"kept": bool(values["kept"]), "kind": values["kind"] or "", "source": values["source"] or "",
               "completion": _text(values["completion"]) or "",  # type: ignore[arg-type]
               "answer": _text(values["answer"]),  # type: ignore[arg-type]
               "prompt": None if prompt is None else tuple(json.loads(str(prompt)))}
    return Draw(**values)  # type: ignore[arg-type]


def _whole(draws: list[Draw]) -> list[Draw]:
    """What only one draw's file tells of the prompt holds for all of them."""
    prompt = next((draw.prompt for draw in draws if draw.prompt is not None), None)
    kind = next((draw.kind for draw in draws if draw.kind), "")
    return [replace(draw, prompt=draw.prompt or prompt, kind=draw.kind or kind) for draw in draws]
