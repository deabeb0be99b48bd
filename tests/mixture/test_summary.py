"""From rows of numbers to a trace, and from a trace to the summary of one sample."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from qstar_core.mixture.alpha import AlphaOptions, AlphaStatus
from qstar_core.mixture.diagnostics import DIVERGENT_TV, TokenDiagnostics, summarise, trace_of
from qstar_core.mixture.mixer import Mixer
from qstar_core.records import MixSummary, Trace
from tests.laws.pairs import random_pair


@pytest.fixture
def rows() -> np.ndarray:
    theta, t = random_pair(120, 15, 0.5, seed=12)
    keys = torch.arange(120)
    return Mixer(AlphaOptions()).step(torch.tensor(theta), torch.tensor(t), keys, keys).diagnostics.stacked().numpy()


@pytest.fixture
def trace(rows) -> Trace:
    return trace_of(rows)


def test_a_trace_has_every_column_under_its_own_name(rows, trace):
    names = [field.name for field in fields(TokenDiagnostics) if field.name != "top"]
    assert [*names, "top_token", "top_logq"] == [field.name for field in fields(Trace)]
    assert trace.top_token is trace.top_logq is None
    assert len(trace) == 120
    for column, name in enumerate(names):
        kind = np.int32 if name in ("token", "status") else np.float32
        np.testing.assert_array_equal(getattr(trace, name), rows[:, column].astype(kind))
        assert getattr(trace, name).dtype == kind


def test_a_summary_is_what_numpy_says(trace):
    found = summarise(trace)
    wide = {field.name: getattr(trace, field.name).astype(np.float64) for field in fields(Trace)
            if not field.name.startswith("top_")}
    ratio = wide["ess_theta"] / wide["ess_t"]
    divergent = wide["tv"] > DIVERGENT_TV
    expected = {
        "tokens": 120,
        "alpha_mean": wide["alpha"].mean(),
        "alpha_std": wide["alpha"].std(),
        "kl_theta_mean": wide["kl_theta"].mean(),
        "kl_t_mean": wide["kl_t"].mean(),
        "kl_abs_difference_mean": np.abs(wide["kl_theta"] - wide["kl_t"]).mean(),
        "ess_ratio_mean": ratio.mean(),
        "ess_ratio_std": ratio.std(),
        "ess_ratio_geometric_mean": np.exp(np.log(ratio).mean()),
        "entropy_theta_mean": wide["entropy_theta"].mean(),
        "entropy_t_mean": wide["entropy_t"].mean(),
        "divergent_tokens": divergent.sum(),
        "divergent_ess_ratio_mean": ratio[divergent].mean(),
        "log_z_sum": wide["log_z"].sum(),
        "logp_theta_sum": wide["logp_theta"].sum(),
        "logp_t_sum": wide["logp_t"].sum(),
        "logq_sum": wide["logq"].sum(),
        "boundary_tokens": 0,
        "clamped_tokens": 0,
        "unconverged_tokens": 0,
        "policy_tokens": 0,
    }
    assert found.model_dump() == pytest.approx(expected, rel=1e-9)
    assert found.divergent_tokens > 0


def test_tokens_without_a_ratio_are_left_out_of_its_mean_and_counted(trace):
    lost_theta, lost_t = trace.ess_theta.copy(), trace.ess_t.copy()
    lost_theta[:3], lost_t[2:7] = 0, 0
    found = summarise(replace(trace, ess_theta=lost_theta, ess_t=lost_t))
    ratio = lost_theta[7:].astype(np.float64) / lost_t[7:]
    assert found.boundary_tokens == 7
    assert found.ess_ratio_mean == pytest.approx(ratio.mean())
    assert found.ess_ratio_std == pytest.approx(ratio.std())
    assert found.ess_ratio_geometric_mean == pytest.approx(np.exp(np.log(ratio).mean()))
    assert found.alpha_mean == pytest.approx(trace.alpha.mean(dtype=np.float64)), "α is still that of all tokens"


def test_an_infinite_kl_is_left_out_of_its_mean_and_counted(trace):
    kl_t = trace.kl_t.copy()
    kl_t[4] = np.inf
    found = summarise(replace(trace, kl_t=kl_t))
    assert found.boundary_tokens == 1
    assert found.kl_t_mean == pytest.approx(np.delete(trace.kl_t, 4).mean(dtype=np.float64))
    assert found.kl_theta_mean == pytest.approx(np.delete(trace.kl_theta, 4).mean(dtype=np.float64))


def test_statuses_are_counted_apart(trace):
    status = trace.status.copy()
    status[:4], status[4:6], status[6:9] = AlphaStatus.CLAMPED, AlphaStatus.NOT_CONVERGED, AlphaStatus.POLICY
    found = summarise(replace(trace, status=status))
    assert (found.clamped_tokens, found.unconverged_tokens, found.policy_tokens) == (4, 2, 3)


def test_where_there_is_nothing_to_average_there_is_no_number(trace):
    found = summarise(replace(trace, ess_t=np.zeros_like(trace.ess_t), tv=np.zeros_like(trace.tv)))
    assert found.boundary_tokens == len(trace)
    assert found.divergent_tokens == 0
    assert found.ess_ratio_mean is found.ess_ratio_std is found.ess_ratio_geometric_mean is None
    assert found.divergent_ess_ratio_mean is None


def test_a_summary_survives_json_without_loss(trace):
    for case in (trace, replace(trace, ess_t=np.zeros_like(trace.ess_t))):
        found = summarise(case)
        text = found.model_dump_json()
        assert "NaN" not in text
        assert MixSummary.model_validate_json(text) == found
        assert json.loads(text) == found.model_dump()


def test_a_mean_over_infinite_kls_alone_is_no_number(trace):
    found = summarise(replace(trace, kl_t=np.full_like(trace.kl_t, np.inf)))
    assert found.kl_t_mean is None


def test_a_token_that_one_model_cannot_say_leaves_its_sum_undefined(trace):
    """A fixed α = 1 draws what the teacher says, also where the student gives it no probability at all."""
    logp_theta = trace.logp_theta.copy()
    logp_theta[5] = -np.inf
    assert summarise(replace(trace, logp_theta=logp_theta)).logp_theta_sum is None
