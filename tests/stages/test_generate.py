"""A shard loses at most what was in flight, repeats nothing finished, and is the same however it came about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.engine.protocol import Finished
from qstar_core.errors import EngineError, IntegrityError
from qstar_core.records import FinishReason, Sample, Trace
from qstar_core.stages.generate import generate_shard, ledger_entry
from qstar_core.stages.plan import Plan
from qstar_core.stages.refine import finished_samples
from qstar_core.stages.shardfile import read_samples, read_work, write_samples
from tests.stages.scripted import EngineDiedError, Project, ScriptedEngine, trace_of


def told(finished: Finished) -> tuple[Any, ...]:
    trace = finished.trace
    return finished.sample, None if trace is None else tuple(np.asarray(getattr(trace, f.name)).tolist()
                                                         for f in fields(Trace))


def rows(project: Project, plan: Plan) -> list[tuple[Any, ...]]:
    with project.workspace().scratch() as scratch:
        return [told(finished) for _, _, finished in finished_samples(project.workspace(), plan, scratch)]


def one_shard(project: Project) -> Project:
    return project.with_settings(round__shard_size=99, round__prompts=5)  # ten samples


def run(project: Project, plan: Plan, engine: ScriptedEngine | None = None) -> None:
    generate_shard(project.workspace(), plan, 0, lambda: engine or project.engine(plan))


@pytest.mark.parametrize(("dies_after", "order"), [*((count, "plan") for count in range(10)), (3, "shuffled"),
                                                   (8, "shuffled")])
def test_a_rerun_samples_only_what_is_missing_and_the_result_is_the_same(
    project: Project, dies_after: int, order: str
) -> None:
    project = one_shard(project)
    undisturbed = project.with_settings(dataset="undisturbed", round__shard_size=99, round__prompts=5)
    expected = rows(undisturbed, undisturbed.generated(undisturbed.plan()))
    plan = project.plan()
    first = project.engine(plan, dies_after=dies_after, order=order)
    with pytest.raises(EngineDiedError):
        run(project, plan, first)
    assert ledger_entry(project.store, plan, 0) is None
    second = project.engine(plan, order=order)
    run(project, plan, second)
    kept = dies_after // 2 * 2  # a row checkpoint every two samples
    assert len(second.asked) == 10 - kept
    assert rows(project, plan) == expected
    entry = ledger_entry(project.store, plan, 0)
    assert entry is not None and entry.file.rows == 10
    assert entry.tokens == sum(len(sample.token_ids) for sample, _ in expected)
    assert list(project.store.list(plan.parts_key(0))) == []


@pytest.mark.parametrize("finished", range(1, 4))
def test_an_interrupted_shard_keeps_every_finished_row(project: Project, finished: int) -> None:
    """Ctrl-C and SIGTERM; a checkpoint is due every two samples."""
    project = one_shard(project)
    plan = project.plan()
    engine = project.engine(plan, dies_after=finished, death=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        run(project, plan, engine)
    run(project, plan, second := project.engine(plan))
    assert len(second.asked) == 10 - finished


def test_many_deaths_lose_nothing(project: Project) -> None:
    project = one_shard(project)
    plan = project.plan()
    asked: list[int] = []
    for _ in range(4):
        engine = project.engine(plan, dies_after=3)
        with pytest.raises(EngineDiedError):
            run(project, plan, engine)
        asked.append(len(engine.asked))
    run(project, plan, last := project.engine(plan))
    assert [*asked, len(last.asked)] == [10, 8, 6, 4, 2]
    assert len(rows(project, plan)) == 10


def test_a_finished_shard_asks_no_engine(project: Project) -> None:
    plan = project.generated(project.plan())
    before = {info.key: info.etag for info in project.store.list("")}

    def refuse() -> ScriptedEngine:
        raise AssertionError("the engine was loaded")

    for shard in plan.shards:
        assert generate_shard(project.workspace(), plan, shard.index, refuse) == ledger_entry(
            project.store, plan, shard.index)
    assert {info.key: info.etag for info in project.store.list("")} == before


@pytest.mark.parametrize("order", ["reverse", "shuffled"])
def test_whatever_the_engines_order_the_file_has_the_plans(project: Project, order: str) -> None:
    plan = project.plan()
    project.generated(plan, project.engine(plan, order=order))
    ids = [name for line in project.planned(plan) for name in line.sample_ids]
    assert [sample.id for sample, _ in rows(project, plan)] == ids


def test_an_engine_that_loses_a_job_is_an_error_that_names_it(project: Project) -> None:
    project = one_shard(project)
    plan = project.plan()
    lost = project.planned(plan)[2].sample_ids[1]
    with pytest.raises(EngineError, match=f"shard 0: the engine returned nothing for sample {lost}"):
        run(project, plan, project.engine(plan, loses=frozenset({lost})))
    assert ledger_entry(project.store, plan, 0) is None
    run(project, plan, engine := project.engine(plan))
    assert engine.asked == [lost]


@pytest.mark.parametrize("every", [2, 3, 99])
def test_of_two_finishers_at_once_one_line_stands(project: Project, every: int) -> None:
    project = project.with_settings(round__shard_size=99, round__prompts=5, round__checkpoint_every=every)
    plan = project.plan()

    class Overtaken(ScriptedEngine):
        """Before its last sample another run finishes the same shard."""

        def generate(self, jobs: Any) -> Iterator[Finished]:
            *most, last = list(super().generate(jobs))
            yield from most
            run(project, plan)
            nonlocal first
            first = ledger_entry(project.store, plan, 0)
            yield last

    first = None
    entry = generate_shard(project.workspace(), plan, 0, lambda: Overtaken(project.engine(plan).answers))
    assert entry == first == ledger_entry(project.store, plan, 0)
    assert len(list(project.store.list(f"{plan.key}/ledger/"))) == 1
    assert len(rows(project, plan)) == 10
    assert list(project.store.list(plan.parts_key(0))) == []


def test_progress_hears_of_new_samples_only(project: Project) -> None:
    project = one_shard(project)
    plan = project.plan()
    heard: list[Finished] = []
    with pytest.raises(EngineDiedError):
        run(project, plan, project.engine(plan, dies_after=5))
    generate_shard(project.workspace(), plan, 0, lambda: project.engine(plan), heard.extend)
    assert len(heard) == 6
    remaining = [len(sample.token_ids) for sample, _ in rows(project, plan)][4:]
    assert sum(len(row.sample.token_ids) for row in heard) == sum(remaining)


def test_a_shard_whose_bytes_changed_is_not_read(project: Project) -> None:
    plan = project.generated(project.plan())
    entry = ledger_entry(project.store, plan, 1)
    assert entry is not None
    project.store.write(entry.file.key, project.store.read(entry.file.key)[:-1] + b"!")
    with pytest.raises(IntegrityError, match="damaged"):
        rows(project, plan)


FINISHED = st.builds(
    lambda index, length, traced, error: Finished(
        Sample(id=f"{index:x}", prompt_id="p", draw=index, completion="ü" * length, token_ids=tuple(range(length)),
               finish_reason=FinishReason.ERROR if error else FinishReason.STOP, seed=1, max_tokens=9,
               error="NaN" if error else None),
        None if error or not traced else trace_of(f"{index:x}", length)),
    st.integers(0, 2**31), st.integers(0, 5), st.booleans(), st.booleans(),
)


@settings(max_examples=40)
@given(given_=st.lists(FINISHED, max_size=300 // 50), tokens=st.integers(0, 10**9), seconds=st.floats(0, 1e6))
def test_a_shard_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, given_: list[Finished], tokens: int, seconds: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "shard.parquet"
    assert write_samples(path, given_, tokens, seconds) == len(given_)
    assert [told(finished) for finished in read_samples(path)] == [told(finished) for finished in given_]
    assert read_work(path) == (tokens, seconds)


def test_more_rows_than_a_batch_and_infinities_survive(tmp_path: Path) -> None:
    traces = [trace_of(f"{i:x}", 3) for i in range(600)]
    traces[0].kl_t[1], traces[0].ess_t[2] = np.inf, 0
    given_ = [Finished(Sample(id=str(i), prompt_id="p", draw=i, completion="", token_ids=(1, 2, 3), seed=0,
                              finish_reason=FinishReason.LENGTH, max_tokens=3), trace)
              for i, trace in enumerate(traces)]
    write_samples(tmp_path / "s", given_, 0, 0.0)
    assert [told(finished) for finished in read_samples(tmp_path / "s")] == [told(finished) for finished in given_]
    (tmp_path / "s").write_bytes(b"PAR1 not a file")
    with pytest.raises(IntegrityError, match="not a readable shard"):
        next(read_samples(tmp_path / "s"))


def flip_a_byte(store: Any, key: str) -> None:
    data = bytearray(store.read(key))
    data[len(data) // 2] ^= 0x20
    store.write(key, bytes(data))


@pytest.mark.parametrize("damage", ["flipped", "truncated", "foreign"])
def test_a_damaged_row_checkpoint_is_sampled_again(project: Project, damage: str) -> None:
    project = one_shard(project)
    undisturbed = project.with_settings(dataset="undisturbed", round__shard_size=99, round__prompts=5)
    expected = rows(undisturbed, undisturbed.generated(undisturbed.plan()))
    plan = project.plan()
    with pytest.raises(EngineDiedError):
        run(project, plan, project.engine(plan, dies_after=6))
    part = next(iter(project.store.list(plan.parts_key(0)))).key
    if damage == "flipped":
        flip_a_byte(project.store, part)
    elif damage == "truncated":
        project.store.write(part, project.store.read(part)[:100])
    else:
        project.store.write(f"{plan.parts_key(0)}.DS_Store", b"not ours")
    second = project.engine(plan)
    run(project, plan, second)
    assert len(second.asked) == (4 if damage == "foreign" else 6)
    assert rows(project, plan) == expected


def test_a_finished_shard_whose_file_is_lost_is_made_again(project: Project) -> None:
    project = one_shard(project)
    plan = project.plan()
    run(project, plan)
    expected, entry = rows(project, plan), ledger_entry(project.store, plan, 0)
    assert entry is not None
    project.store.delete(entry.file.key)
    assert ledger_entry(project.store, plan, 0) is None
    run(project, plan)
    assert rows(project, plan) == expected
