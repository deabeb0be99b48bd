"""Which expectations the files of a version must meet, told without the library that checks them.

A file is looked at as a frame of small derived columns (roles in one word list, the smallest α of a trace), so that
texts and traces are never in memory whole: about 1 kB a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

ROLES = r"^(?:system )*(?:(?:user|assistant|tool) )+assistant$"
SHA256 = r"^[0-9a-f]{64}$"
AS_EXPECTED = "as expected"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the plan of the round says about its files."""

    version: str
    samples: int
    kept: int
    diagnostics: bool
    replayed: Mapping[str, int] = field(default_factory=dict)
    """Rows of the data that earlier versions gave, by version; they have no place in this round's order."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """`kind` is the library's name of it."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.kind.removeprefix('expect_')}({told})"


def schema_expectations() -> list[Expectation]:
    return [
        *_filled("file", "column", "expected", "found"),
        Expectation("expect_column_pair_values_to_be_equal", {"column_A": "expected", "column_B": "found"}),
    ]


def data_expectations(facts: Facts) -> list[Expectation]:
    return [
        _rows(facts.kept + sum(facts.replayed.values())),
        *_filled(*([] if facts.replayed else ["sample_idx"])),
        *_filled("sample_id", "prompt_id", "draw", "kind", "source", "finish_reason", "tokens", "roles",
                 "alpha_method", "temperature", "seed", "student_sha256", "teacher_sha256", "round", "version",
                 "run_id"),
        *_unique("sample_idx", "sample_id"),
        _between("sample_idx", 0, facts.samples - 1),
        _between("draw", 0),
        _between("tokens", 1),
        _between("temperature", 0, 10),
        _between("empty_messages", 0, 0),
        _one_of("finish_reason", ("stop", "length")),
        _one_of("version", (facts.version, *facts.replayed)),
        _matches("roles", ROLES),
        _matches("student_sha256", SHA256),
        _matches("teacher_sha256", SHA256),
    ]


def diagnostics_expectations(facts: Facts) -> list[Expectation]:
    return [
        _rows(facts.samples),
        *_filled("sample_idx", "sample_id", "prompt_id", "draw", "outcome", "summary"),
        *_unique("sample_idx", "sample_id"),
        _between("sample_idx", 0, facts.samples - 1),
        _one_of("outcome", ("kept", "dropped", "failed")),
        _one_of("summary", (AS_EXPECTED,)),
        _between("tokens", 1),
        _between("alpha_mean", 0, 1),
        _between("alpha_std", 0, 0.5),
        *(_between(name, 0) for name in ("kl_theta_mean", "kl_t_mean", "kl_abs_difference_mean", "ess_ratio_mean",
                                         "ess_ratio_std", "divergent_ess_ratio_mean", "entropy_theta_mean",
                                         "entropy_t_mean")),
        *(_between(name, None, 1e-3) for name in ("log_z_sum", "logp_theta_sum", "logp_t_sum", "logq_sum")),
        *(_at_most_tokens(name) for name in ("divergent_tokens", "boundary_tokens", "clamped_tokens",
                                             "unconverged_tokens", "policy_tokens")),
    ]


def trace_expectations() -> list[Expectation]:
    return [
        *_filled("sample_idx", "sample_id", "tokens", "alpha_min", "alpha_max", "same_lengths"),
        *_unique("sample_idx", "sample_id"),
        _between("tokens", 1),
        _between("alpha_min", 0, 1),
        _between("alpha_max", 0, 1),
        _between("logq_max", None, 1e-3),
        _one_of("same_lengths", (True,)),
    ]


def arrow_types(schema: pa.Schema) -> dict[str, str]:
    """Parquet calls the values of a list `element`, Arrow `item`."""
    return {item.name: str(item.type).replace("list<element:", "list<item:") for item in schema}


def _rows(count: int) -> Expectation:
    return Expectation("expect_table_row_count_to_equal", {"value": count})


def _filled(*columns: str) -> list[Expectation]:
    return [Expectation("expect_column_values_to_not_be_null", {"column": column}) for column in columns]


def _unique(*columns: str) -> list[Expectation]:
    return [Expectation("expect_column_values_to_be_unique", {"column": column}) for column in columns]


def _between(column: str, low: float | None, high: float | None = None) -> Expectation:
    bounds = {name: bound for name, bound in (("min_value", low), ("max_value", high)) if bound is not None}
    return Expectation("expect_column_values_to_be_between", {"column": column, **bounds})


def _one_of(column: str, values: Sequence[Any]) -> Expectation:
    return Expectation("expect_column_values_to_be_in_set", {"column": column, "value_set": list(values)})


def _matches(column: str, pattern: str) -> Expectation:
    return Expectation("expect_column_values_to_match_regex", {"column": column, "regex": pattern})


def _at_most_tokens(column: str) -> Expectation:
    return Expectation("expect_column_pair_values_a_to_be_greater_than_b", {
        "column_A": "tokens", "column_B": column, "or_equal": True, "ignore_row_if": "either_value_is_missing"})
