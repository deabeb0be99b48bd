"""Small texts: settings as YAML, commands as shell scripts, golds as graders read them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

import yaml

from qstar_core.records import JsonObject


def yaml_text(command: str, settings: JsonObject) -> str:
    """Settings under a line that says how they are used."""
    return f"# {command}\n{yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)}"


def json_text(value: JsonObject) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def script(*lines: Sequence[str]) -> str:
    """A shell script that runs one command in the script's own folder; a line is one or a few of its words."""
    quoted = [" ".join(shlex.quote(word) for word in line) for line in lines]
    return '#!/bin/sh\nset -e\ncd "$(dirname "$0")"\n' + " \\\n  ".join(quoted) + "\n"


def gold(answer: str) -> str:
    """Bare LaTeX between dollars: math-verify reads it only there."""
    return f"${answer}$" if "\\" in answer and "$" not in answer else answer
