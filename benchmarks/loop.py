"""`make bench NAME=loop`: the embedded loop in an empty project, as a user runs it: does the student improve, does it
keep its second task, and what does that cost? `ARGS=--ceiling` adds what as much training on worked solutions reaches.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from benchmarks.results import Figure, record
from flows.packaged import find_config
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.home import store_uri
from qstar_core.loop.beside import Beside, beside
from qstar_core.loop.book import Book
from qstar_core.loop.judging import final_score
from qstar_core.loop.students import following, model_of
from qstar_core.loop.summary import Summary, summarise
from qstar_core.sources.reading import read_source
from qstar_core.store.objects import ObjectStore
from qstar_core.store.opening import open_store
from qstar_core.training.request import TrainRequest
from qstar_core.training.run import train

_GOAL_AFTER_3, _GOAL_AFTER_5, _SECONDS = 0.70, 0.90, 600
_LOOP = "1"


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("QSTAR", "PREFECT"))}
        env["QSTAR_HOME"] = os.environ["QSTAR_HOME"] = str(Path(folder) / ".qstar")
        try:
            since = time.monotonic()
            _command(env, folder, "loop", "--config", "loop", "--name", _LOOP)
            wall = time.monotonic() - since
        finally:
            _command(env, folder, "down")
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
        settings = following(load_settings(find_config("loop")))
        store = open_store(store_uri(settings), settings.store.s3)
        found = _found(settings, store)
        ceiling = _ceiling(settings, store, len(found[0].rounds), Path(folder)) if "--ceiling" in arguments else []
    record("loop", [*_figures(settings, *found, wall), Figure("loop-cpu", cpu.ru_utime + cpu.ru_stime, "CPU s, of all"),
                    *ceiling],
           " ".join(["make bench NAME=loop", *(["ARGS=--ceiling"] if ceiling else [])]),
           "Settings `loop`, from an empty project: the two models are trained and the server is started first. "
           "Accuracy is that of the line's student on problems that never decide. By round: "
           + "; ".join(f"{row.number}: {row.measures[found[0].target].value:.3f}" for row in found[0].rows) + ".")


def _command(env: dict[str, str], folder: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "flows.cli", *arguments], cwd=folder, env=env, check=True)


def _found(settings: Settings, store: ObjectStore) -> tuple[Summary, Beside]:
    book = Book(store, settings.student.line, _LOOP)
    begun = book.begun()
    assert begun is not None
    compared = beside(settings, store, begun)
    assert compared is not None
    return summarise(settings, begun, book.rounds(), ""), compared


def _figures(settings: Settings, summary: Summary, compared: Beside, wall: float) -> list[Figure]:
    values = [row.measures[summary.target].value for row in summary.rows]
    margin = settings.promotion.margins["accuracy"]
    guards = [(name, change) for name, change in compared.changes.items()
              if any(name == one.name and one.role.value == "guard" for one in settings.evaluation.sets)]
    return [
        Figure("loop-accuracy-before", values[0], "of the target's problems"),
        Figure("loop-accuracy-after-3", values[min(3, len(values) - 1)], "of them, after three rounds", _GOAL_AFTER_3,
               at_most=False),
        Figure("loop-accuracy-after-all", values[-1], f"of them, after {len(summary.rounds)} rounds", _GOAL_AFTER_5,
               at_most=False),
        Figure("loop-gain-p", compared.test.p, f"one-sided; {compared.test.statistic}", settings.promotion.level),
        *(Figure(f"loop-{name}-loss", -change.low, f"at most, shown at level {settings.promotion.level:g}; "
                 f"new − old is {change.value:+.3f}", margin) for name, change in guards),
        Figure("loop-promotions", summary.promotions, f"of {len(summary.rounds)} rounds"),
        Figure("loop-seconds", wall, "s, models and server included", _SECONDS),
        Figure("loop-tokens-a-point", summary.tokens / summary.gain, "tokens of q* per point of accuracy"),
        Figure("loop-seconds-a-point", summary.seconds / summary.gain, "s of work per point of accuracy"),
    ]


def _ceiling(settings: Settings, store: ObjectStore, rounds: int, folder: Path) -> list[Figure]:
    """As many steps as the loop took, on the worked solutions of all of its problems, from the same first student."""
    rows = folder / "gold"
    rows.mkdir()
    reads = (read.prompt for read in read_source(settings.source) if read.prompt is not None)
    with (rows / "train.jsonl").open("w") as lines:
        for prompt in islice(reads, rounds * settings.round.prompts):
            row = {"prompt": [message.model_dump(mode="json") for message in prompt.messages],
                   "completion": [{"role": "assistant", "content": prompt.solution}]}
            lines.write(json.dumps(row) + "\n")
    assert settings.training is not None and settings.training.max_steps is not None
    recipe = settings.training.model_copy(update={"max_steps": rounds * settings.training.max_steps})
    student = settings.student.model_copy(update={"line": "gold", "model": settings.student.initial})
    asked = settings.model_copy(update={"training": recipe, "student": student})
    made = train(TrainRequest(settings=asked, data=str(rows)), store, lambda progress: None)
    score = final_score(settings, store, model_of(settings, store, made))
    return [Figure(f"loop-ceiling-{measure.name.replace('/', '-')}", measure.value,
                   f"by SFT on worked solutions, {recipe.max_steps} steps")
            for measure in score.measures if measure.name.endswith("/accuracy")]


if __name__ == "__main__":
    main(sys.argv[1:])
