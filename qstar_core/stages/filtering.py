"""What filters may ask for beside a sample: the rows of the version before, evaluation sets, models, a folder."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from qstar_core.config import Settings, SourceSettings
from qstar_core.engine.embedding import MINILM, EmbeddingModel, minilm_folder
from qstar_core.filters.chain import FilterChain
from qstar_core.filters.context import EarlierRow, FilterContext
from qstar_core.home import subfolder
from qstar_core.records import FileRef
from qstar_core.reward.calibration import check_calibrated
from qstar_core.reward.finding import find_reward_model
from qstar_core.reward.model import load_reward_model
from qstar_core.sources.reading import read_source
from qstar_core.stages.plan import Plan
from qstar_core.stages.workspace import Workspace
from qstar_core.store.integrity import download_verified
from qstar_core.store.objects import ObjectStore
from qstar_core.store.versions import Versions

_DATA = "/data/data.parquet"


def check_filters(settings: Settings) -> None:
    store = Workspace.open(settings).store
    context = FilterContext(texts=source_texts, present=functools.partial(_folder, store),
                            calibrated=lambda name: check_calibrated(_folder(store, name)))
    FilterChain(settings.filters, context).check()


def filter_context(workspace: Workspace, plan: Plan) -> FilterContext:
    device, store = workspace.settings.engine.device, workspace.store
    return FilterContext(cache=subfolder("cache"), texts=source_texts, present=functools.partial(_folder, store),
                         earlier=functools.partial(earlier_rows, workspace, plan),
                         embedder=lambda name: EmbeddingModel(_folder(store, name), device),
                         scorer=lambda name: load_reward_model(find_reward_model(store, name), device))


def source_texts(name: str) -> Iterator[str]:
    """The questions of a source, then what follows from them: its worked solutions."""
    for read in read_source(SourceSettings(path=name)):
        if read.prompt is not None:
            yield read.prompt.question
            if read.prompt.solution:
                yield read.prompt.solution


def earlier_rows(workspace: Workspace, plan: Plan) -> Iterator[EarlierRow]:
    """The rows of the version that was latest before this round; none in the first round."""
    ref = _earlier_data(workspace, plan)
    if ref is None:
        return
    with workspace.scratch() as scratch:
        path = scratch / "earlier.parquet"
        download_verified(workspace.store, ref, path)
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1024, columns=["prompt_id", "messages"]):
            for row in batch.to_pylist():
                yield EarlierRow(row["prompt_id"], row["messages"][-1]["content"])


def _earlier_data(workspace: Workspace, plan: Plan) -> FileRef | None:
    """This version, and others of its round, do not count: a round that is refined again gives the same rows."""
    versions = Versions(workspace.store, plan.dataset)
    latest = versions.latest()
    history = list(latest.history) if latest else []
    if plan.version in history:
        history = history[: history.index(plan.version)]
    for version in reversed(history):
        manifest = versions.manifest(version)
        if manifest.round != plan.round:
            return next((ref for ref in manifest.files if ref.key.endswith(_DATA)), None)
    return None


def _folder(store: ObjectStore, name: str) -> Path:
    return minilm_folder() if name == MINILM else Path(find_reward_model(store, name).path)
