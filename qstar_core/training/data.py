"""What `--data` names → rows: `latest`, a version, the address of one, or a folder of JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

from qstar_core.config import Settings
from qstar_core.errors import ConfigError, DataError
from qstar_core.exports.registry import FORMATS
from qstar_core.recipes import Training
from qstar_core.stages.exporting import RECORD, export
from qstar_core.stages.workspace import Workspace, check_round_name
from qstar_core.store.finding import find_version
from qstar_core.store.objects import ObjectStore
from qstar_core.store.opening import open_store
from qstar_core.training.kinds import KINDS, Shape, shape_of
from qstar_core.training.rows import Rows, arranged, folder_rows
from qstar_core.training.traced import Drawn, traced_rows

_FORMATS = {Shape.COMPLETION: "trl-sft", Shape.PAIR: "trl-dpo", Shape.LABELLED: "trl-kto", Shape.QUESTION: "trl-grpo"}


def load_rows(workspace: Workspace, data: str, recipe: Training, drawn: Drawn, folder: Path) -> Rows:
    """Into files below `folder`, which the rows need as long as they are read."""
    shape = shape_of(recipe)
    if Path(data).expanduser().is_dir() and not (Path(data) / "manifest.json").is_file():
        source = Path(data).expanduser()
        return arranged(folder_rows(source, shape), shape, recipe.validation, recipe.seed, folder, str(source),
                        _exported_from(source))

    def open_at(uri: str) -> ObjectStore:
        return open_store(uri, workspace.settings.store.s3)

    store, versions, name = find_version(workspace.store, workspace.settings.dataset, data, open_at)
    manifest = versions.manifest(name)
    source_name = f"{versions.dataset} {name}"
    if shape is Shape.TRACED:
        rows = traced_rows(store, manifest, drawn, folder)
        return arranged(rows, shape, recipe.validation, recipe.seed, folder, source_name, source_name)
    whole = Settings.model_validate(workspace.settings.model_dump() | {
        "export": workspace.settings.export.model_dump() | {"validation": 0.0}})
    done = export(Workspace(whole, workspace.store), store, manifest, FORMATS[_FORMATS[shape]], KINDS[shape],
                  folder / "export", overwrite=False)
    return arranged(folder_rows(done.folder, shape), shape, recipe.validation, recipe.seed, folder, source_name,
                    source_name)


def _exported_from(folder: Path) -> str | None:
    """The dataset version that `qstar export` made the folder from; None for a folder that it did not make."""
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        made = json.loads(path.read_bytes())
        dataset, version = made["dataset"], made["version"]
        check_round_name(version)
        check_round_name(dataset)
    except (OSError, ValueError, RecursionError, KeyError, TypeError, ConfigError):
        raise DataError(f"{path} does not name the dataset version that the rows come from",
                        "export the version again, or remove the file: the rows then have no origin") from None
    return f"{dataset} {version}"
