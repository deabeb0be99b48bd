"""The Parquet files of a version → the columns that checks measure, a batch of rows at a time.

Memory: about 300 bytes a sample, the counts of the previous version's words, and one batch of texts. A number that is
not finite is a DataError that names it: no comparison with NaN is ever true, so it must not come as far as a check.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qstar_core.config import GateSettings
from qstar_core.errors import DataError
from qstar_core.gate.bootstrap import Codes, Values
from qstar_core.gate.version import Hashes, Previous, Samples, Texts
from qstar_core.records import MixSummary, Outcome
from qstar_core.selection import best, shares

_BATCH = 2_048
_WORD = re.compile(r"[^\W_]+")
_TOP_WORDS = 50
_MOST_WORDS = 200_000  # counted at the same time; the rarest are forgotten beyond it
_TEXT_COLUMNS = ("messages", "sample_id", "prompt_id", "tokens", "version")
_CHOOSING = (best.STAGE, shares.STAGE)  # they drop what the filters let pass


def read_samples(path: Path) -> Samples:
    """Of the diagnostics file. Columns that it lacks are null; the schema suite tells that they are missing."""
    file = pq.ParquetFile(path)
    wanted = ["sample_id", "prompt_id", "outcome", "stage", *MixSummary.model_fields]
    table = file.read(columns=[name for name in wanted if name in file.schema_arrow.names])
    ids, outcomes = _strings(table, "sample_id"), _strings(table, "outcome")
    kept_N = outcomes == Outcome.KEPT.value
    return Samples(
        id_N=ids, prompt_N=_codes(_strings(table, "prompt_id")), kept_N=kept_N,
        passed_N=kept_N | np.isin(_strings(table, "stage"), _CHOOSING), failed_N=outcomes == Outcome.FAILED.value,
        columns={name: _numbers(table, name, path.name, ids) for name in MixSummary.model_fields},
    )


def read_texts(path: Path, settings: GateSettings, words: tuple[str, ...],
               without: Collection[str] = ()) -> Texts | None:
    """Of the data file; None where it lacks what is measured. `words` are those that the vocabulary is counted in. Rows
    of the versions in `without` are left out: they were judged there."""
    phrases = tuple(phrase.casefold() for phrase in settings.leak_phrases)
    hedging = frozenset(word.casefold() for word in settings.hedging_words)
    column = {word: index for index, word in enumerate(words)}
    ids: list[str] = []
    prompts: list[str] = []
    rows: list[tuple[float, int, int, bool, int]] = []
    counts: list[Values] = []
    for row in _rows(path):
        if row is None:
            return None
        if row.version in without:
            continue
        found = split_words(row.completion)
        ids.append(row.sample_id)
        prompts.append(row.prompt_id)
        rows.append((row.tokens, len(found), sum(map(hedging.__contains__, found)), says(row.completion, phrases),
                     row.hash))
        counts.append(np.bincount([column.get(word, len(words)) for word in found],
                                  minlength=len(words) + 1).astype(np.float32))
    tokens, lengths, hedges, leaks, hashes = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return Texts(
        id_N=np.asarray(ids, dtype=object), prompt_N=_codes(np.asarray(prompts, dtype=object)),
        tokens_N=np.asarray(tokens, dtype=np.float64), words_N=np.asarray(lengths, dtype=np.float64),
        hedges_N=np.asarray(hedges, dtype=np.float64), leaks_N=np.asarray(leaks, dtype=np.bool_),
        hash_N=np.asarray(hashes, dtype=np.uint64),
        vocabulary_N_V=np.asarray(counts, dtype=np.float64).reshape(len(ids), len(words) + 1),
    )


def read_previous(path: Path, version: str) -> tuple[Previous | None, Hashes]:
    """What drift and duplicates of a later version are measured against."""
    counter: Counter[str] = Counter()
    tokens: list[float] = []
    hashes: list[int] = []
    for row in _rows(path):
        if row is None:
            return None, np.empty(0, dtype=np.uint64)
        counter.update(split_words(row.completion))
        tokens.append(row.tokens)
        hashes.append(row.hash)
        if len(counter) > 2 * _MOST_WORDS:
            counter = Counter(dict(counter.most_common(_MOST_WORDS)))
    top = sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:_TOP_WORDS]
    others = counter.total() - sum(count for _, count in top)
    previous = Previous(version, np.asarray(tokens, dtype=np.float64), tuple(word for word, _ in top),
                        np.asarray([*(count for _, count in top), others], dtype=np.float64))
    return previous, np.asarray(hashes, dtype=np.uint64)


def read_hashes(path: Path) -> Hashes:
    """Of the conversations of a data file; none where it lacks them."""
    return np.asarray([row.hash for row in _rows(path) if row is not None], dtype=np.uint64)


def completions(path: Path, wanted: frozenset[str]) -> Iterator[tuple[str, str]]:
    """(sample id, completion) of the wanted rows of a data file."""
    for row in _rows(path):
        if row is not None and row.sample_id in wanted:
            yield row.sample_id, row.completion


@dataclass(frozen=True, slots=True)
class _Row:
    sample_id: str
    prompt_id: str
    tokens: float
    version: str
    completion: str
    hash: int


def _rows(path: Path) -> Iterator[_Row | None]:
    """None, and then nothing more, where a column is missing or of another type."""
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    if any(name not in schema.names for name in _TEXT_COLUMNS) or not pa.types.is_list(schema.field("messages").type):
        yield None
        return
    for batch in file.iter_batches(batch_size=_BATCH, columns=list(_TEXT_COLUMNS)):
        columns = [batch.column(name).to_pylist() for name in _TEXT_COLUMNS]
        for messages, sample_id, prompt_id, tokens, version in zip(*columns, strict=True):
            contents = [str((turn or {}).get("content") or "") for turn in messages or ()]
            yield _Row(str(sample_id), str(prompt_id), float(tokens or 0), str(version),
                       contents[-1] if contents else "", _hash(contents))


def _hash(contents: list[str]) -> int:
    text = "\0".join(" ".join(content.split()) for content in contents)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def split_words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def says(text: str, phrases: tuple[str, ...]) -> bool:
    folded = " ".join(text.casefold().split())
    return any(phrase in folded for phrase in phrases)


def _strings(table: pa.Table, name: str) -> Any:
    if name not in table.column_names:
        return np.full(table.num_rows, "", dtype=object)
    return np.asarray(pc.fill_null(table.column(name).cast(pa.string()), "").to_pylist(), dtype=object)


def _codes(names_N: Any) -> Codes:
    codes: Codes = np.unique(names_N.astype(str), return_inverse=True)[1].astype(np.int64)
    return codes


def _numbers(table: pa.Table, name: str, file: str, ids: Any) -> Values:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    column = table.column(name).cast(pa.float64())
    null_N = column.is_null().to_numpy()
    values: Values = column.to_numpy()
    bad = np.flatnonzero(~null_N & ~np.isfinite(values))
    if len(bad):
        raise DataError(f"{file}: {name} of sample {ids[bad[0]]} is {values[bad[0]]}",
                        "the file is damaged: remove the round's shards and run it again")
    return values
