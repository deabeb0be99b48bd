"""The settings key alone brings vLLM into a round: shard, row checkpoints, resume."""

import os
import signal

import pytest

from qstar_core.errors import EngineError
from qstar_core.stages.engines import engine_for
from tests.vllm.models import CONTEXT, Tiny, assert_same, needs_vllm, run, settings_of, torch_engine

pytestmark = [pytest.mark.vllm, needs_vllm]


def test_the_engine_of_a_round(tiny: Tiny) -> None:
    """What `generate_shard` calls; after a crash the same call goes on with what is missing."""
    settings = settings_of({"kind": "vllm"})
    models = {"student": tiny.student, "teacher": tiny.teacher}
    jobs = tiny.jobs(12, draws=2)
    done = {}
    with pytest.raises(EngineError, match="the process of vLLM ended"):
        for one in engine_for(settings, models, CONTEXT).generate(jobs):
            done[one.sample.id] = one
            if len(done) == 4:
                from qstar_core.engine.vllm import loading

                (server,) = loading._running.values()
                os.kill(server.pid, signal.SIGKILL)
    assert 4 <= len(done) < len(jobs)
    done.update(run(engine_for(settings, models, CONTEXT), [job for job in jobs if job.sample_id not in done]))
    assert_same(done, run(torch_engine(tiny.student, tiny.teacher, tiny.tokenizer, settings), jobs))
