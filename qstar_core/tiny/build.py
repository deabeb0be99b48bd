"""The embedded pair of models: made at first use, found at once afterwards.

Contract: the same recipes and sources give the same folder, `tiny-<hash>/{student,teacher}`. The two models
train in two processes of one thread each, which end with this one. `on_progress` is called in the caller's thread.
"""

from __future__ import annotations

import hashlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from qstar_core.errors import ModelError
from qstar_core.records import content_hash
from qstar_core.tiny.cache import made_once
from qstar_core.tiny.recipe import PAIR, Job, PairRecipe

Child = subprocess.Popen[str]
OnProgress = Callable[[str, int, int], None]
# What the weights and the tokenizer depend on, besides the recipes themselves.
SOURCES = ("problems.py", "recipe.py", "tokenizer.py", "train.py", "worker.py")
WORKER = "qstar_core.tiny.worker"


@dataclass(frozen=True, slots=True)
class TinyPair:
    """Two checkpoint folders."""

    student: Path
    teacher: Path


def build_pair(cache_dir: Path, on_progress: OnProgress | None = None, recipe: PairRecipe = PAIR) -> TinyPair:
    """The pair from the cache, trained first where it is missing; `on_progress` hears (role, step, steps)."""
    folder = made_once(cache_dir.absolute(), "tiny", pair_hash(recipe)[:16],
                       lambda empty: _train_both(empty, recipe, on_progress))
    return TinyPair(student=folder / "student", teacher=folder / "teacher")


def pair_hash(recipe: PairRecipe = PAIR) -> str:
    """Changes with whatever the weights depend on in this package."""
    here = Path(__file__).parent
    sources = {name: hashlib.sha256((here / name).read_bytes()).hexdigest() for name in SOURCES}
    return content_hash({"recipe": recipe.model_dump(mode="json"), "sources": sources})


def _train_both(folder: Path, recipe: PairRecipe, on_progress: OnProgress | None) -> None:
    jobs = {"student": Job(recipe=recipe.student, folder=folder / "student"),
            "teacher": Job(recipe=recipe.teacher, folder=folder / "teacher")}
    said: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
    with ExitStack() as at_the_end:
        children = {}
        for role, job in jobs.items():
            children[role] = _start(job)
            listener = threading.Thread(target=_listen, args=(role, children[role], said), daemon=True)
            listener.start()
            at_the_end.callback(_end, children[role], listener)
        running = set(jobs)
        while running:
            role, line = said.get()
            if line is None:
                running.remove(role)
                _check(role, children[role], _log(jobs[role]))
            elif on_progress:
                step, steps = line.split()
                on_progress(role, int(step), int(steps))
    for job in jobs.values():
        _log(job).unlink()


def _start(job: Job) -> Child:
    # The package may be imported from a checkout that is not installed: the child looks where this process found it.
    search = filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(search), "OMP_NUM_THREADS": "1",
                   "TOKENIZERS_PARALLELISM": "false"}
    # -P: a file in the working directory must not shadow a library.
    with _log(job).open("w") as log:
        return subprocess.Popen([sys.executable, "-P", "-m", WORKER, job.model_dump_json()], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=environment)


def _listen(role: str, child: Child, said: queue.SimpleQueue[tuple[str, str | None]]) -> None:
    """Pass on what the child says, and None when it has nothing more to say."""
    for line in child.stdout or ():
        said.put((role, line))
    said.put((role, None))


def _check(role: str, child: Child, log: Path) -> None:
    status = child.wait()
    if status != 0:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise ModelError(f"training the tiny {role} failed: {lines[-1] if lines else f'exit status {status}'}",
                         "try again; if it fails again, look for missing memory or disk space")


def _end(child: Child, listener: threading.Thread) -> None:
    child.kill()
    child.wait()
    listener.join()  # it reads to the end of the pipe, which the child's death has brought about
    if child.stdout:
        child.stdout.close()


def _log(job: Job) -> Path:
    return job.folder.with_suffix(".log")
