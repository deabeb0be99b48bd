"""Great Expectations, and nothing else of the core knows it: expectations over a frame → what is broken, and the page
of its Data Docs. Importing it takes two seconds of CPU, so that happens when a suite runs.

Ephemeral context, no analytics, no network. Its errors do not escape: an expectation that raised counts as broken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qstar_core.errors import DataError
from qstar_core.gate.expectations import Expectation
from qstar_core.gate.pages import static_page
from qstar_core.gate.version import SuiteResult

if TYPE_CHECKING:
    import pandas as pd

_TOLD = 5
_LINE = 200


def run_suite(name: str, frame: pd.DataFrame, expectations: Sequence[Expectation]) -> tuple[SuiteResult, str]:
    """What the suite found, and its page."""
    import great_expectations as gx
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    rows = {"unexpected_index_column_names": ["sample_id"]} if "sample_id" in frame else {}
    with _quiet():
        try:
            context = gx.get_context(mode="ephemeral")
            context.enable_analytics(False)
            context.variables.progress_bars = {"globally": False}
            asset = context.data_sources.add_pandas("version").add_dataframe_asset(name)
            batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
            suite = gx.ExpectationSuite(name=name)
            for expectation in expectations:
                suite.add_expectation_configuration(
                    ExpectationConfiguration(type=expectation.kind, kwargs=dict(expectation.options)))
            found = batch.validate(suite, result_format={"result_format": "SUMMARY",
                                                         "partial_unexpected_count": _TOLD, **rows})
            found.meta = {}  # times and fingerprints: the same data give the same page
            page = static_page(_rendered(found), f"{name}: expectations")
        except GreatExpectationsError as error:
            raise DataError(f"the suite {name} could not run: {error}"[:500], "a bug: please report it") from error
    broken = [result for result in found.results if not result.success]
    ids = dict.fromkeys(row for result in broken for row in _ids(result.result))
    told = tuple(sorted(_told(result) for result in broken))
    return SuiteResult(name, len(found.results), told, tuple(ids)), page


def _rendered(found: Any) -> str:
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    page: str = DefaultJinjaPageView().render(ValidationResultsPageRenderer(run_info_at_end=True).render(found))
    return page


def _told(result: Any) -> str:
    config = result.expectation_config
    told = str(Expectation(config.type, {k: v for k, v in config.kwargs.items() if k != "batch_id"}))
    count = (result.result or {}).get("unexpected_count")
    return f"{told[:_LINE]}{f', {count} rows' if count else ''}"


def _ids(result: dict[str, Any]) -> Iterator[str]:
    for row in (result or {}).get("partial_unexpected_index_list") or ():
        if isinstance(row, dict) and row.get("sample_id") is not None:
            yield str(row["sample_id"])


@contextmanager
def _quiet() -> Iterator[None]:
    """The library logs what it does; what it found is in its result."""
    logger = logging.getLogger("great_expectations")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
