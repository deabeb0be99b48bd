"""`qstar serve`: the mixture as an OpenAI-compatible endpoint."""

from __future__ import annotations

import os
from contextlib import suppress

import rich_click as click

from flows.commands.options import SettingsCommand, config_option, given_flags, setting_flags
from flows.console import err, out
from flows.packaged import find_config
from qstar_core.configload import load_settings


@click.command(cls=SettingsCommand)
@config_option
@click.option("--host", default=None, help="Short for --serve.host")
@click.option("--port", type=click.IntRange(0, 65_535), default=None, help="Short for --serve.port")
@setting_flags()
def serve(config_path: str | None, host: str | None, port: int | None) -> None:
    """The mixture as an endpoint that clients of OpenAI's interface can ask, until Ctrl-C.

    Needs no Prefect and stores nothing. With QSTAR_SERVE_TOKEN set, clients have to send it as their key.
    """
    short = {name: value for name, value in (("serve.host", host), ("serve.port", port)) if value is not None}
    settings = load_settings(find_config(config_path), os.environ, {**given_flags(), **short})
    with err.status("loading"):
        from qstar_core.serving.server import TOKEN
        from qstar_core.serving.server import serve as run

    def listening(address: str) -> None:
        out.print(f"q* is served at {address} as {settings.serve.name}", highlight=False, soft_wrap=True, markup=False)
        out.file.flush()

    with suppress(KeyboardInterrupt):  # the signal was heard already: it ended the server as it should
        run(settings, os.environ.get(TOKEN), listening)
    err.print("stopped", highlight=False)
