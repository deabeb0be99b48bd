"""The chain as a whole: logging, order, worker processes, filters that see the whole round, and flat memory."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.config import Action, FilterStep
from qstar_core.errors import ConfigError, DataError
from qstar_core.filters.base import Candidate
from qstar_core.filters.chain import BLOCK, FILTERS, FilterChain
from qstar_core.filters.diagnostics import DiagnosticsFilter, DiagnosticsOptions
from qstar_core.records import Outcome, Verdict
from tests.filters.candidates import CONTEXT, candidate, failed, summary

LONG = ["alone ", "in the house with many words ", "mail a@b.org ", "again and again and " * 12]


def many(count: int) -> list[Candidate]:
    return [candidate(f"{LONG[i % 4]}{i % 7} answer {8 + i % 3}", id=f"{i}") if i % 11 else failed()
            for i in range(count)]


def verdicts(steps: list[FilterStep], samples: list[Candidate], processes: int = 1) -> list[Verdict]:
    with FilterChain(steps, CONTEXT, processes) as chain:
        return [verdict for _, verdict in chain.judged(lambda: samples, lambda each: each)]


def step(name: str, action: Action | None = None, **options: Any) -> FilterStep:
    return FilterStep(name=name, action=action, options=options)


def test_a_filter_that_logs_keeps_and_the_funnel_tells() -> None:
    given_ = [candidate("mail a@b.org answer 8"), candidate("answer 8"), candidate("answer 9")]
    with FilterChain([step("pii", Action.LOG), step("answer")]) as chain:
        found = [chain.judge(each) for each in given_]
        pii, answer = chain.funnel()[1:]
    assert [(each.outcome, each.logged) for each in found] == [
        (Outcome.KEPT, {"pii": "e-mail address"}), (Outcome.KEPT, {}), (Outcome.DROPPED, {})]
    assert (pii.entered, pii.kept, pii.dropped, pii.logged) == (3, 3, {}, {"e-mail address": 1})
    assert (answer.entered, answer.kept, answer.dropped, answer.logged) == (3, 2, {"wrong answer": 1}, {})


def test_what_was_made_for_web_text_logs_where_the_step_does_not_say() -> None:
    assert {name for name, kind in FILTERS.items() if kind.action is Action.LOG} == {"gopher", "language", "toxicity"}
    shout = candidate("you are a fucking idiot")
    assert verdicts([step("toxicity")], [shout])[0].logged == {"toxicity": "abusive language"}
    assert verdicts([step("toxicity", Action.DROP)], [shout])[0].outcome is Outcome.DROPPED


def test_the_score_of_a_drop_and_of_what_was_passed_on_the_way() -> None:
    found = verdicts([step("reward", model="m", min_score=0, calibration={"slope": 1, "intercept": 0}),
                      step("length", max_tokens=1)], [candidate("a b c")])[0]
    assert (found.stage, found.score) == ("length", 3)
    assert found.scores["reward"] == pytest.approx(0.9933, abs=1e-3) and found.scores["length"] == 3


STREAMING = [name for name, kind in FILTERS.items() if kind.spreads]


@settings(deadline=None, max_examples=20)
@given(st.permutations([step(name, Action.DROP) for name in STREAMING]), st.permutations(many(24)))
def test_streaming_filters_keep_the_same_in_any_order(steps: list[FilterStep], samples: list[Candidate]) -> None:
    """Of steps and of samples alike."""
    def kept(steps: list[FilterStep], samples: list[Candidate]) -> set[str]:
        return {verdict.sample_id for verdict in verdicts(steps, samples) if verdict.outcome is Outcome.KEPT}

    assert kept(steps, samples) == kept(sorted(steps, key=lambda each: each.name), many(24))


def test_worker_processes_change_nothing() -> None:
    samples = many(BLOCK + 5)
    steps = [step("finish"), step("loop"), step("pii", Action.LOG), step("diagnostics", max_z={"alpha_mean": 3}),
             step("length", max_tokens=50), step("duplicate")]
    one, two = verdicts(steps, samples), verdicts(steps, samples, processes=2)
    assert one == two
    assert {each.stage for each in one} == {"", "engine", "loop", "duplicate"}


def test_worker_processes_tell_all_that_a_filter_that_spreads_reads() -> None:
    samples = [each for each in many(40) if each.sample.completion]
    steps = [step(name, Action.LOG) for name in STREAMING]
    assert verdicts(steps, samples) == verdicts(steps, samples, processes=2)


def test_worker_processes_do_not_import_the_main_program(tmp_path: Path) -> None:
    """A script without `if __name__ == "__main__"` works too."""
    script = tmp_path / "script.py"
    script.write_text("print('imported')\n"
                      "from qstar_core.config import FilterStep\n"
                      "from qstar_core.filters.chain import FilterChain\n"
                      "from tests.filters.candidates import CONTEXT, candidate\n"
                      "with FilterChain([FilterStep(name='finish')], CONTEXT, 2) as chain:\n"
                      "    print(chain.judge(candidate()).outcome.value)\n", encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert done.stdout.split() == ["imported", "kept"]


def dies(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qstar_core.filters.workers._advance", dies)
    with pytest.raises(DataError, match="worker process died"):
        verdicts([step("finish")], many(4), processes=2)


def test_a_filter_of_the_whole_round_sees_what_the_ones_before_kept() -> None:
    """The lowest fifth of ten is two; what was dropped before does not count among the ten."""
    samples = [candidate("x" * (i + 1) + " answer 8") for i in range(10)]
    samples += [candidate("y" * 500 + " answer 9") for _ in range(90)]
    found = verdicts([step("answer"), step("reward", model="m", percentile=20), step("length", max_tokens=3)], samples)
    assert [each.stage for each in found] == ["reward"] * 2 + [""] * 8 + ["answer"] * 90
    assert found[0].score == len("x answer 8") and found[9].scores == {"reward": len("x" * 10 + " answer 8")}


def test_two_filters_of_the_whole_round_take_a_pass_each() -> None:
    passes = []

    def items() -> Iterator[Candidate]:
        passes.append(1)
        for i in range(20):
            yield candidate("x" * (i + 1), summary=summary(alpha=0.5 + 0.001 * (i % 3) + 0.4 * (i == 19)))

    with FilterChain([step("reward", model="m", percentile=10), step("diagnostics", max_z={"alpha_mean": 4})],
                     CONTEXT) as chain:
        found = [verdict for _, verdict in chain.judged(items, lambda each: each)]
    assert len(passes) == 3
    assert [i for i, each in enumerate(found) if each.outcome is Outcome.DROPPED] == [0, 1, 19]
    assert found[19].reason == "alpha_mean is an outlier" and found[19].score == pytest.approx(0.901)


@given(st.lists(st.integers(-9, 9) | st.integers(-1000, 1000), min_size=8, max_size=60), st.integers(-3, 3),
       st.integers(-500, 500), st.sampled_from([1, -1]))
def test_outliers_do_not_depend_on_unit_and_zero(values: list[int], power: int, shift: int, sign: int) -> None:
    """Factors are powers of two, so that the arithmetic is exact."""
    options = DiagnosticsOptions(max_z={"log_z_mean": 3.0})

    def outliers(numbers: list[float]) -> list[bool]:
        judge = DiagnosticsFilter(options, CONTEXT)
        judge.settle([(number,) for number in numbers])
        return [judge.decide((number,)) is not None for number in numbers]

    plain = outliers([float(value) for value in values])
    assert plain == outliers([sign * 2.0**power * (value + shift) for value in values])
    assert sum(plain) * 2 <= len(values)
    assert outliers([501.0, 502.0, 503.0, 504.0, 505.0, 506.0, 507.0, 530.0]) == [False] * 7 + [True]


def test_the_engines_word_and_numbers_that_are_not_there_pass_the_diagnostics() -> None:
    bounds = {"kl_t_mean": {"low": 0, "high": 0.01}, "log_z_mean": {"low": -0.2, "high": 0}}
    found = verdicts([step("diagnostics", bounds=bounds)],
                     [candidate(summary=summary()), candidate(summary=summary(log_z=-5)), candidate()])
    assert [each.reason for each in found] == ["", "log_z_mean outside of its bounds", ""]


def test_memory_is_flat_where_everything_streams() -> None:
    steps = [step(name) for name in ("finish", "length", "answer", "hint_leak", "loop", "pii")]

    def peak(count: int) -> int:
        gc.collect()
        tracemalloc.start()
        with FilterChain(steps) as chain:
            items = (candidate(f"{LONG[i % 3]} {i} answer 8", id=f"{i}") for i in range(count))
            for _ in chain.judged(lambda: items, lambda each: each):
                continue
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(BLOCK)  # imports and caches
    assert peak(8 * BLOCK) < 1.3 * peak(2 * BLOCK)


def test_a_missing_library_is_named_with_its_extra_only_where_the_filter_is_switched_on(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FILTERS["language"], "packages", ("lingua_that_is_not_there",))
    FilterChain([step("finish")])
    with pytest.raises(ConfigError, match=r"language needs the package lingua_th.*'qstar\[filters\]'") as told:
        FilterChain([step("language")])
    assert "\n" not in str(told.value)


def test_what_needs_a_round_says_so_outside_of_one() -> None:
    with pytest.raises(ConfigError, match="needs a round"):
        FilterChain([step("contamination", against=["exam"])]).judge(candidate())
