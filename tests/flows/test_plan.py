"""`qstar plan` before and after a round of the real models; a round whose limit grew ends like one in one go."""

from __future__ import annotations

import pytest

from tests.flows.project import Project, ProjectHere

EXACT = ("data/data.jsonl", "rejects/rejects.jsonl")
SUMS = ("logp_theta_sum", "logp_t_sum", "logq_sum")  # the shapes of a shorter limit move the last bits


def shown(told: str) -> dict[str, str]:
    return {line[:10].strip(): line[11:] for line in told.splitlines()}


def test_a_round_whose_limit_grew_samples_only_what_was_cut_and_ends_as_in_one_go(here: ProjectHere,
                                                                                  undisturbed: Project) -> None:
    before = shown(here.run("plan", "--config", "tiny", "--round", "1").stdout)
    assert before["Version"].endswith("not planned yet") and before["To do"] == "48"
    assert before["Tokens"].startswith("at most 3,072 by sampling.max_tokens;") and "Cost" not in before
    assert not (here.store / "datasets").exists()
    few = here.run("plan", "--config", "tiny", "--source.limit", "20", "--sampling.max_tokens", "150").stdout
    assert "the source has no more to give; round.prompts asks for 24" in few
    assert "and the context of 160, which leaves 40 samples less room" in few
    short = ("--config", "tiny", "--round", "1", "--sampling.max_tokens", "20", "--gate.warn_only", "[keep rate]")
    here.run("refresh", *short)
    cut = sum(row["stage"] == "finish" for row in here.rows("rejects/rejects.jsonl"))
    assert 0 < cut < 48
    grown = shown(here.run("plan", "--config", "tiny", "--round", "1", "--operations.price_per_hour", "3").stdout)
    assert grown["Version"].endswith("a new plan") and grown["To do"] == str(cut)
    assert grown["Changed"].startswith("sampling.max_tokens from 20 to 64: a new plan")
    assert grown["Tokens"].startswith("about") and grown["Cost"].startswith("about 0.")
    told = here.run("refresh", "--config", "tiny", "--round", "1").stderr
    assert f"{48 - cut} of them were finished by an earlier plan" in told and "sampling.max_tokens from 20" in told
    assert here.latest() == undisturbed.latest()
    for file in EXACT:
        assert here.rows(file) == undisturbed.rows(file)
    for ours, theirs in zip(*(project.rows("diagnostics/diagnostics.jsonl") for project in (here, undisturbed)),
                            strict=True):
        assert all(ours[name] == pytest.approx(theirs[name], abs=1e-3) for name in SUMS if theirs[name] is not None)
        assert all(ours[name] == theirs[name] for name in ("sample_id", "outcome", "stage", "reason", "tokens"))
    done = shown(here.run("plan", "--config", "tiny", "--round", "1").stdout)
    assert done["Version"].endswith("published already") and done["To do"] == "0" and "Time" not in done


def test_mistakes_are_one_line(here: ProjectHere) -> None:
    assert "cannot be a name" in here.refused("plan", "--round", "../x", code=2)
    assert "alpha.method = 'magic' is unknown" in here.refused("plan", "--alpha.method", "magic", code=2)
    assert "price_per_hour" in here.refused("plan", "--operations.price_per_hour", "-1", code=2)
