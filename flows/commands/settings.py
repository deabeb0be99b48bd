"""`qstar config`: what the settings are, and what they may be."""

from __future__ import annotations

import json
import os

import rich_click as click
import yaml

from flows.commands.options import SettingsCommand, config_option, given_flags, setting_flags
from flows.console import out
from flows.packaged import find_config
from qstar_core.config import Settings
from qstar_core.configload import load_settings


@click.group()
def config() -> None:
    """Show the settings that would be used, or describe them all."""


@config.command(cls=SettingsCommand)
@config_option
@setting_flags()
def show(config_path: str | None) -> None:
    """All settings after file, environment and flags, as YAML to start from."""
    settings = load_settings(find_config(config_path), os.environ, given_flags())
    text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    out.print(text.rstrip(), highlight=False, markup=False, soft_wrap=True)


@config.command()
def schema() -> None:
    """The JSON schema of the settings, for editors and for reading."""
    out.print(json.dumps(Settings.model_json_schema(), indent=2, ensure_ascii=False), highlight=False, markup=False,
              soft_wrap=True)
