"""Traces with the likeliest tokens of q survive a shard's file, and a version's file holds what the documents say."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qstar_core.engine.protocol import Finished
from qstar_core.records import FinishReason, Sample, Trace
from qstar_core.stages.outputs import RowWriter, trace_row, traces_schema
from qstar_core.stages.shardfile import read_samples, write_samples
from tests.stages.scripted import trace_of

K = 3


def finished(number: int, length: int, top: bool) -> Finished:
    rng = np.random.default_rng(number)
    trace = trace_of(f"{number:x}", length) if length else None
    if trace is not None and top:
        logq = np.sort(rng.uniform(-5, 0, (length, K)))[:, ::-1].astype(np.float32).copy()
        logq[0, 1:] = -np.inf
        trace = replace(trace, top_token=rng.integers(0, 9, (length, K)).astype(np.int32), top_logq=logq)
    return Finished(Sample(id=f"{number:x}", prompt_id="p", draw=number, completion="x", seed=0, max_tokens=9,
                           token_ids=(1,) * length, error=None if length else "no",
                           finish_reason=FinishReason.STOP if length else FinishReason.ERROR), trace)


def test_a_shard_holds_them_and_failed_samples_beside(tmp_path: Path):
    for top in (True, False):
        rows = [finished(number, length, top) for number, length in enumerate((0, 2, 5, 0, 1))]
        write_samples(tmp_path / "shard.parquet", rows, 8, 1.0)
        read = list(read_samples(tmp_path / "shard.parquet"))
        assert [one.sample for one in read] == [one.sample for one in rows]
        for one, other in zip(read, rows, strict=True):
            assert (one.trace is None) == (other.trace is None)
            for field in fields(Trace) if one.trace is not None else ():
                ours, theirs = getattr(one.trace, field.name), getattr(other.trace, field.name)
                assert np.array_equal(ours, theirs), field.name
                assert ours is None or ours.dtype == theirs.dtype


def test_a_version_s_file_has_entropies_and_where_asked_for_lists_of_fixed_size(tmp_path: Path):
    plain = traces_schema(0)
    assert {"entropy_theta", "entropy_t", "alpha"} <= set(plain.names)
    assert not {"top_token", "top_logq"} & set(plain.names)
    rows = [finished(number, 4, top=True) for number in range(3)]
    with RowWriter(tmp_path / "traces.parquet", None, traces_schema(K), group=2) as writer:
        for number, one in enumerate(rows):
            writer.write(trace_row(number, one))
    table = pq.read_table(tmp_path / "traces.parquet")
    assert table.schema.field("top_logq").type == pa.list_(pa.list_(pa.float32(), K))
    for told, one in zip(table.to_pylist(), rows, strict=True):
        assert np.array_equal(np.array(told["top_token"]), one.trace.top_token)
        assert np.array_equal(np.array(told["top_logq"], dtype=np.float32), one.trace.top_logq)
        assert np.array_equal(np.array(told["entropy_t"], dtype=np.float32), one.trace.entropy_t)
