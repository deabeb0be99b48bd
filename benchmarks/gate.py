"""`make bench NAME=gate`: the gate of a synthetic version of 100,000 samples against a previous one of the same size,
in a process of its own: seconds, and the most memory that it held.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.results import Figure, record
from qstar_core.records import MixSummary
from qstar_core.stages.outputs import DATA, DIAGNOSTICS, TRACES

_SAMPLES, _DRAWS, _TOKENS, _GROUP = 100_000, 4, 100, 10_000
_FACTORS = {"alpha_mean": (0.4, 0.6), "ess_ratio_mean": (0.9, 1.1), "divergent_ess_ratio_mean": (0.6, 1.2),
            "kl_abs_difference_mean": (0, 1e-3), "alpha_std": (0, 0.3), "tokens": (_TOKENS, _TOKENS + 1),
            "divergent_tokens": (5, 20)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for version in ("before", "now"):
            _write(Path(folder), version)
        megabytes = sum(path.stat().st_size for path in Path(folder).glob("now-*")) / 1e6
        done = subprocess.run([sys.executable, "-m", "benchmarks.gate", folder], capture_output=True, text=True,
                              check=True)
    seconds, suites, peak, loaded = map(float, done.stdout.split())
    record("gate", [
        Figure("gate-100k-seconds", seconds, "CPU s"),
        Figure("gate-100k-suites-seconds", suites, "CPU s of them in the suites, importing included"),
        Figure("gate-100k-peak-memory", peak, "MB"),
        Figure("gate-100k-libraries-memory", loaded, "MB of them before the first row is read"),
    ], "make bench NAME=gate", f"{_SAMPLES:,} samples of {_TOKENS} tokens, {_DRAWS} a prompt, {megabytes:.0f} MB of "
       "Parquet with traces; one thread.")


def judge_version(folder: Path) -> None:
    import great_expectations  # noqa: F401 — its memory belongs to the libraries
    import pandas  # noqa: F401

    from qstar_core.config import GateSettings
    from qstar_core.gate.expectations import Facts
    from qstar_core.gate.files import check_files
    from qstar_core.gate.judge import judge
    from qstar_core.gate.reading import read_previous, read_samples, read_texts
    from qstar_core.gate.version import Given

    loaded = _peak_mb()
    settings = GateSettings()
    files = {name: (folder / f"now-{name}.parquet", schema)
             for name, schema in (("data", DATA), ("diagnostics", DIAGNOSTICS), ("traces", TRACES))}
    suites, _ = check_files(files, Facts("now", _SAMPLES, _SAMPLES, True))
    suites_seconds = time.process_time()
    previous, hashes = read_previous(folder / "before-data.parquet", "before")
    report = judge(settings, Given(
        samples=read_samples(files["diagnostics"][0]), previous=previous, earlier=hashes, suites=suites,
        texts=read_texts(files["data"][0], settings, previous.words if previous else ()), method="kl_symmetry"))
    assert not report.failed(), [check.note for check in report.failed()]
    print(time.process_time(), suites_seconds, _peak_mb(), loaded)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _write(folder: Path, version: str) -> None:
    rng = np.random.default_rng([1, version == "now"])
    words = np.asarray([f"word{index}" for index in range(2_000)])
    often = 1 / np.arange(1, 2_001)
    with pq.ParquetWriter(folder / f"{version}-data.parquet", DATA) as data, \
            pq.ParquetWriter(folder / f"{version}-diagnostics.parquet", DIAGNOSTICS) as diagnostics, \
            pq.ParquetWriter(folder / f"{version}-traces.parquet", TRACES) as traces:
        for start in range(0, _SAMPLES, _GROUP):
            index = np.arange(start, start + _GROUP)
            names = {"sample_idx": index, "sample_id": [f"{version}{i:012d}" for i in index],
                     "prompt_id": [f"p{i // _DRAWS}" for i in index], "draw": index % _DRAWS}
            texts = [" ".join(row) for row in rng.choice(words, (_GROUP, _TOKENS), p=often / often.sum())]
            data.write_table(_data(names, version, texts))
            diagnostics.write_table(_diagnostics(names, rng))
            traces.write_table(_traces(names, rng))


def _data(names: dict, version: str, texts: list[str]) -> pa.Table:
    turns = [[{"role": "user", "content": f"question {name}"}, {"role": "assistant", "content": text}]
             for name, text in zip(names["prompt_id"], texts, strict=True)]
    same = {"kind": "k", "source": "s", "answer": "1", "finish_reason": "stop", "tokens": _TOKENS, "temperature": 1.0,
            "alpha_method": "kl_symmetry", "seed": 0, "student_sha256": "a" * 64, "teacher_sha256": "b" * 64,
            "round": version, "version": version, "run_id": "run"}
    return pa.table({**names, "messages": turns, **{k: [v] * _GROUP for k, v in same.items()}}).select(
        DATA.names).cast(DATA)


def _diagnostics(names: dict, rng: np.random.Generator) -> pa.Table:
    columns = {name: rng.uniform(*_FACTORS[name], _GROUP) if name in _FACTORS else
               np.full(_GROUP, 0.0 if "tokens" in name or name.endswith("_sum") else 0.5)
               for name in MixSummary.model_fields}
    same = {"outcome": "kept", "stage": "", "reason": ""}
    table = pa.table({**names, **{k: [v] * _GROUP for k, v in same.items()}, **columns})
    return table.select(DIAGNOSTICS.names).cast(DIAGNOSTICS, safe=False)


def _traces(names: dict, rng: np.random.Generator) -> pa.Table:
    offsets = pa.array(np.arange(0, _GROUP * _TOKENS + 1, _TOKENS, dtype=np.int32))

    def lists(values: np.ndarray) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, pa.array(values))

    count = _GROUP * _TOKENS
    floats = {name: lists(rng.uniform(low, high, count).astype(np.float32))
              for name, low, high in (("logp_theta", -3, 0), ("logp_t", -3, 0), ("logq", -3, 0), ("alpha", 0.2, 0.8))}
    return pa.table({"sample_idx": names["sample_idx"], "sample_id": names["sample_id"],
                     "token": lists(rng.integers(0, 500, count).astype(np.int32)), **floats}).cast(TRACES)


if __name__ == "__main__":
    judge_version(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
