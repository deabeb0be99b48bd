"""Every kind of study by its name: how it is cut into pieces of work, and how one is done."""

from __future__ import annotations

from qstar_core.experiments.cell import run_cell
from qstar_core.experiments.cells import plan
from qstar_core.experiments.records import CellResult
from qstar_core.experiments.speculation import study as speculation
from qstar_core.experiments.speculation.records import SpeculationResult
from qstar_core.experiments.theory import study as theory
from qstar_core.experiments.theory.records import TheoryResult
from qstar_core.experiments.work import Kind

KINDS: dict[str, Kind] = {
    "grid": Kind(plan, run_cell, CellResult),
    "theory": Kind(theory.plan, theory.run, TheoryResult),
    "speculation": Kind(speculation.plan, speculation.run, SpeculationResult),
}
