"""Building the pair in its processes: once, the same every time, and nothing left behind by the dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from qstar_core.errors import ModelError
from qstar_core.tiny.build import TinyPair, build_pair, pair_hash
from qstar_core.tiny.recipe import PAIR, PairRecipe
from tests.conftest import REPOSITORY

FOREVER = 10**6


def unfinishable(recipe: PairRecipe) -> PairRecipe:
    return PairRecipe(student=recipe.student.model_copy(update={"steps": FOREVER}),
                      teacher=recipe.teacher.model_copy(update={"steps": FOREVER}))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children_of(pid: int | str) -> set[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def test_one_build_for_two_and_the_same_weights_again(tmp_path: Path, short: PairRecipe) -> None:
    heard: dict[int, list[tuple[str, int, int]]] = {0: [], 1: []}
    pairs: dict[int, TinyPair] = {}

    def build(who: int) -> None:
        pairs[who] = build_pair(tmp_path / "one", lambda *now: heard[who].append(now), short)

    threads = [threading.Thread(target=build, args=(who,)) for who in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pairs[0] == pairs[1]
    steps = [(role, step, 3) for role in ("student", "teacher") for step in (1, 2, 3)]
    assert sorted(map(sorted, heard.values())) == [[], steps]

    begun = time.perf_counter()
    assert build_pair(tmp_path / "one", recipe=short) == pairs[0]
    assert time.perf_counter() - begun < 0.1

    again = build_pair(tmp_path / "two", recipe=short)
    for role in ("student", "teacher"):
        first, second = getattr(pairs[0], role), getattr(again, role)
        names = sorted(path.name for path in first.iterdir())
        assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                "tokenizer_config.json", "chat_template.jinja"} == set(names)
        assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
        vocabulary = AutoModelForCausalLM.from_pretrained(first).config.vocab_size
        assert vocabulary == len(AutoTokenizer.from_pretrained(first))
    assert (again.student / "model.safetensors").read_bytes() != (again.teacher / "model.safetensors").read_bytes()
    assert {path.name for path in again.student.parent.iterdir()} == {"student", "teacher"}


def test_a_killed_builder_leaves_nothing_half_and_nobody_running(tmp_path: Path, short: PairRecipe) -> None:
    script = ("import sys\nfrom pathlib import Path\n"
              "from qstar_core.tiny.build import build_pair\nfrom qstar_core.tiny.recipe import PairRecipe\n"
              "build_pair(Path(sys.argv[1]), lambda *now: print(*now, flush=True),"
              " PairRecipe.model_validate_json(sys.argv[2]))")
    builder = subprocess.Popen([sys.executable, "-c", script, tmp_path, unfinishable(short).model_dump_json()],
                               stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert builder.stdout is not None
    working: set[str] = set()
    while working != {"student", "teacher"}:
        working.add(builder.stdout.readline().split()[0])
    children = children_of(builder.pid)
    assert len(children) == 2 and all(map(alive, children))

    builder.send_signal(signal.SIGKILL)
    builder.wait()
    builder.stdout.close()
    deadline = time.monotonic() + 10
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    still = [pid for pid in children if alive(pid)]
    for pid in still:
        os.kill(pid, signal.SIGKILL)
    assert not still
    assert not list(tmp_path.glob("tiny-*"))
    assert len(list(tmp_path.glob(".tiny-*.partial"))) == 1

    build_pair(tmp_path, recipe=short)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tiny.lock", f"tiny-{pair_hash(short)[:16]}"]


def test_a_failing_child_is_reported_and_the_other_one_ends(tmp_path: Path, short: PairRecipe) -> None:
    before = children_of("self")
    broken = short.teacher.model_copy(update={"learning_rate": 1e30})
    recipe = PairRecipe(student=unfinishable(short).student, teacher=broken)
    with pytest.raises(ModelError, match=r"training the tiny teacher failed: .*the loss of the tiny model is"):
        build_pair(tmp_path, recipe=recipe)
    assert children_of("self") == before
    assert [path.name for path in tmp_path.iterdir()] == [".tiny.lock"]


def test_an_error_of_the_listener_ends_the_build(tmp_path: Path, short: PairRecipe) -> None:
    before = children_of("self")

    def stop(role: str, step: int, steps: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_pair(tmp_path, stop, unfinishable(short))
    assert children_of("self") == before
    assert [path.name for path in tmp_path.iterdir()] == [".tiny.lock"]


def test_the_hash_follows_the_recipe(short: PairRecipe) -> None:
    longer = PAIR.model_copy(update={"student": PAIR.student.model_copy(update={"steps": 1})})
    assert pair_hash() == pair_hash(PAIR)
    assert len({pair_hash(PAIR), pair_hash(short), pair_hash(longer)}) == 3
