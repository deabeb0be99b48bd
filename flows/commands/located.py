"""The dataset that a command is about: that of the settings, or the one that `--dataset` names."""

from __future__ import annotations

import os

import rich_click as click

from flows.packaged import find_config
from qstar_core.configload import load_settings
from qstar_core.stages.workspace import Workspace
from qstar_core.store.finding import find_version
from qstar_core.store.opening import open_store
from qstar_core.store.versions import VersionReader, Versions

dataset_option = click.option("--dataset", default=None, help="Name of the dataset [default: the one of the settings]")


def open_workspace(config_path: str | None) -> Workspace:
    return Workspace.open(load_settings(find_config(config_path), os.environ))


def open_versions(config_path: str | None, dataset: str | None) -> tuple[Workspace, Versions]:
    workspace = open_workspace(config_path)
    return workspace, Versions(workspace.store, dataset or workspace.settings.dataset)


def latest_name(versions: Versions) -> str:
    return versions.latest_name()


def found_version(workspace: Workspace, dataset: str, name: str) -> tuple[Workspace, VersionReader, str]:
    """A published version as find_version takes its name; or one that is staged, by its name or `staged/NAME`."""
    from qstar_core.stages.staging import PREFIX, StagedVersions

    waiting = StagedVersions(workspace, dataset)
    if name.startswith(PREFIX) or (name in waiting.names() and not Versions(workspace.store, dataset).exists(name)):
        return workspace, waiting, name.removeprefix(PREFIX)
    settings = workspace.settings
    store, known, full = find_version(workspace.store, dataset, name, lambda uri: open_store(uri, settings.store.s3))
    return Workspace(settings, store), known, full
