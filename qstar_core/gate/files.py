"""The suites over a version's files: which frame and which expectations belong to which file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from qstar_core.gate.expectations import (
    Facts,
    data_expectations,
    diagnostics_expectations,
    schema_expectations,
    trace_expectations,
)
from qstar_core.gate.version import SuiteResult

Pages = dict[str, str]


def check_files(files: dict[str, tuple[Path, pa.Schema]], facts: Facts) -> tuple[tuple[SuiteResult, ...], Pages]:
    """A suite for each of data, diagnostics and traces that is given, and one for all their schemas. Also the pages of
    Data Docs, by name."""
    from qstar_core.gate import frames
    from qstar_core.gate.suite import run_suite

    found = [run_suite("schema", frames.schema_frame(files), schema_expectations())]
    for name, (path, _) in files.items():
        if name == "data":
            found.append(run_suite(name, frames.data_frame(path), data_expectations(facts)))
        elif name == "diagnostics":
            frame = frames.diagnostics_frame(path, facts.diagnostics)
            found.append(run_suite(name, frame, diagnostics_expectations(facts)))
        else:
            found.append(run_suite(name, frames.trace_frame(path), trace_expectations()))
    return tuple(result for result, _ in found), {f"{result.name}.html": page for result, page in found}
