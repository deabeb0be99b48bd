"""What the drawn tokens say: weights, effective sizes, acceptance and α, from the traces of a version.

A token was drawn from q, so π/q at it is its importance weight, and means over tokens estimate sums over the
vocabulary: the mean of min(1, π_θ/q) is the share of the student's drafts that speculation accepts. A sample's
effective size is (Σw)² / (n·Σw²). Beyond `MOST` tokens the rest of the file is left out, and `tokens` says how many
were read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.parquet

from qstar_core.errors import DataError
from qstar_core.records import Record

Values = npt.NDArray[np.float64]
MOST = 2_000_000
AGREE = 0.1  # nats between the models' log-probabilities of a token
CLASSES = ("first token", "models agree", "teacher prefers it", "student prefers it", "last token")
_COLUMNS = ("logp_theta", "logp_t", "logq", "alpha")


@dataclass(frozen=True, slots=True)
class Traces:
    """Tokens of all samples in a row; `lengths` cuts them into samples, `position` counts from 0 in each."""

    label: str
    lengths: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    columns: dict[str, Values]

    @property
    def tokens(self) -> int:
        return len(self.position)

    def log_weight(self, model: str) -> Values:
        """log π/q of every token, −∞ where the model gives it probability 0."""
        found: Values = self.columns[f"logp_{model}"] - self.columns["logq"]
        return found

    def effective_share(self, model: str) -> Values:
        """Of every sample, its effective size over its length."""
        starts = np.cumsum(self.lengths) - self.lengths
        weights = np.exp(np.minimum(self.log_weight(model), 50.0))
        first, second = (np.add.reduceat(values, starts) for values in (weights, weights**2))
        return np.asarray(np.divide(first**2, self.lengths * second, out=np.full(len(starts), np.nan),
                                    where=second > 0))

    def classes(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Which tokens belong to each of CLASSES; the first and the last one belong to two."""
        gap = self.columns["logp_t"] - self.columns["logp_theta"]
        last = np.zeros(self.tokens, dtype=np.bool_)
        last[np.cumsum(self.lengths) - 1] = True
        return dict(zip(CLASSES, (self.position == 0, np.abs(gap) <= AGREE, gap > AGREE, gap < -AGREE, last),
                        strict=True))


class Mean(Record):
    """`mean` and `std` are None where n is 0."""

    name: str
    n: int
    mean: float | None
    std: float | None


class TokenStatistics(Record):
    """`acceptance` is the share of drafts that speculation accepts, were that model to draft alone; `effective` the
    mean effective share of a sample."""

    label: str
    samples: int
    tokens: int
    alpha_by_class: tuple[Mean, ...]
    acceptance_theta: float
    acceptance_t: float
    effective_theta: Mean
    effective_t: Mean


def load_traces(path: Path, label: str) -> Traces | None:
    """Of a version's folder; None where there are none."""
    file = path / "traces" / "traces.parquet"
    if not file.is_file():
        return None
    parts: list[Any] = []
    tokens = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=256, columns=list(_COLUMNS)):
            parts.append(batch)
            tokens += len(batch.column("alpha").flatten())
            if tokens >= MOST:
                break
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{file} is not a readable file of traces ({error})", "write the version again") from error
    lengths = np.concatenate([part.column("alpha").value_lengths().to_numpy() for part in parts]) if parts else ()
    lengths = np.asarray(lengths, dtype=np.int64)
    if not lengths.sum():
        return None
    columns = {name: np.concatenate([part.column(name).flatten().to_numpy(zero_copy_only=False) for part in parts])
               .astype(np.float64) for name in _COLUMNS}
    if any(len(values) != lengths.sum() for values in columns.values()):
        raise DataError(f"{file}: the columns of a row differ in length", "write the version again")
    lengths = lengths[lengths > 0]
    position = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Traces(label, lengths, position, columns)


def token_statistics(traces: Traces) -> TokenStatistics:
    alpha = traces.columns["alpha"]
    return TokenStatistics(
        label=traces.label, samples=len(traces.lengths), tokens=traces.tokens,
        alpha_by_class=tuple(_mean(name, alpha[chosen]) for name, chosen in traces.classes().items()),
        acceptance_theta=acceptance(traces, "theta"), acceptance_t=acceptance(traces, "t"),
        effective_theta=_mean("ESS θ", traces.effective_share("theta")),
        effective_t=_mean("ESS t", traces.effective_share("t")),
    )


def acceptance(traces: Traces, model: str) -> float:
    return float(np.mean(np.exp(np.minimum(traces.log_weight(model), 0.0))))


def by_position(traces: Traces, values: Values, points: int = 120) -> tuple[Values, Values, Values]:
    """Position, mean and standard deviation of `values`, several positions a point where there are many."""
    width = -(-int(traces.lengths.max()) // points)
    at = traces.position // width
    count = np.bincount(at)
    known = count > 0
    mean = np.bincount(at, values)[known] / count[known]
    spread = np.sqrt(np.maximum(np.bincount(at, values**2)[known] / count[known] - mean**2, 0.0))
    return np.asarray(np.flatnonzero(known) * width + (width + 1) / 2, dtype=np.float64), np.asarray(mean), spread


def _mean(name: str, values: Values) -> Mean:
    known = values[np.isfinite(values)]
    n = len(known)
    return Mean(name=name, n=n, mean=float(known.mean()) if n else None,
                std=float(known.std(ddof=1)) if n > 1 else None)
