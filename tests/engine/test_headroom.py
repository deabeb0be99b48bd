"""Out of memory: half of the slots, every sample once, and the same samples as an undisturbed run."""

import logging
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.engine.headroom import Headroom, is_out_of_memory
from qstar_core.engine.protocol import Finished, Job
from qstar_core.errors import EngineError, NoMemoryError
from qstar_core.records import FinishReason, Sample
from tests.engine.models import Duo, by_id, jobs, loaded, pair_of_prompts, prompts

ERRORS = {
    "accelerator": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes"),
    "python": MemoryError(),
}


class Crowded(torch.nn.Module):
    """A network for which more than `most` rows are too many, from the `after`-th forward on."""

    def __init__(self, network, most: int, after: int, error: BaseException) -> None:
        super().__init__()
        self.network, self.config = network, network.config
        self.most, self.after, self.error = most, after, error

    def forward(self, input_ids, **named):
        self.after -= 1
        if self.after < 0 and input_ids.shape[0] > self.most:
            raise self.error
        return self.network(input_ids=input_ids, **named)


def crowded(duo: Duo, most: int, after: int = 0, error: BaseException = ERRORS["cpu"]) -> Duo:
    return Duo(loaded("student", Crowded(duo.student.network, most, after, error)), duo.teacher, duo.tokenizer,
               duo.vocab)


def tokens(found: dict[str, Finished]) -> dict[str, tuple]:
    return {name: (one.sample.token_ids, one.sample.completion, one.sample.finish_reason)
            for name, one in found.items()}


@pytest.mark.parametrize(("error", "most", "after", "slots"), [
    ("accelerator", 2, 0, 2), ("cpu", 1, 20, 1), ("python", 5, 12, 4)])
def test_nothing_is_lost_or_changed(forty: Duo, caplog, error, most, after, slots):
    work = jobs(prompts(5, 40), draws=3)
    expected = by_id(forty.engine(slots=8).generate(work))
    engine = Headroom(crowded(forty, most, after, ERRORS[error]).engine, 8)
    halved: list[int] = []
    engine.on_halved = halved.append
    with caplog.at_level(logging.WARNING):
        assert tokens(by_id(engine.generate(work))) == tokens(expected)
    assert engine.slots == halved[-1] == slots
    assert halved[0] == 4
    assert caplog.messages[0] == "out of memory with 8 samples in flight; going on with 4"
    caplog.clear()
    assert tokens(by_id(engine.generate(work[::-1]))) == tokens(expected)
    assert not caplog.messages, "the smaller number of slots stays"


def test_one_slot_too_many_is_an_error_and_the_finished_samples_were_told(forty: Duo):
    engine = Headroom(crowded(forty, 0, after=60).engine, 4)
    told = []
    with pytest.raises(NoMemoryError, match=r"no memory for engine\.batch_size = 1 in a context of 40"):
        for one in engine.generate(jobs(prompts(6, 40), draws=4)):
            told.append(one)
    assert told
    assert issubclass(NoMemoryError, EngineError)


def test_an_engine_that_cannot_be_made_is_made_smaller(forty: Duo):
    made = []

    def build(slots: int):
        made.append(slots)
        if slots > 2:
            raise RuntimeError("MPS backend out of memory")
        return forty.engine(slots)

    assert len(list(Headroom(build, 9).generate(jobs(prompts(2, 40))))) == 2
    assert made == [9, 4, 2]


def test_other_errors_are_not_memory(forty: Duo):
    illegal = RuntimeError("CUDA error: an illegal memory access was encountered")
    assert not is_out_of_memory(illegal)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        list(Headroom(crowded(forty, 0, error=illegal).engine, 4).generate(jobs(prompts(2, 40))))


class Scripted:
    """Finishes jobs from the back of what it holds; dies where the script says, if it has more than one slot."""

    def __init__(self, slots: int, deaths: list[int]) -> None:
        self.slots, self.deaths = slots, deaths

    def generate(self, queue):
        held = []
        while True:
            while len(held) < self.slots and (job := next(queue, None)) is not None:
                held.append(job)
            if not held:
                return
            if self.deaths and self.slots > 1 and self.deaths.pop(0) == 0:
                raise NoMemoryError("no memory")
            job = held.pop()
            yield Finished(Sample(id=job.sample_id, prompt_id="p", draw=job.draw, completion="", token_ids=(),
                                  finish_reason=FinishReason.STOP, seed=0, max_tokens=1), None)


@settings(deadline=None, max_examples=25)
@given(count=st.integers(0, 30), slots=st.integers(1, 9), deaths=st.lists(st.integers(0, 3), max_size=20))
def test_every_job_ends_once_whenever_memory_ends(count, slots, deaths):
    pair = pair_of_prompts("p", [1], [1])
    engine = Headroom(lambda slots: Scripted(slots, deaths), slots)
    found = [one.sample.id for one in engine.generate(Job(str(n), pair, n) for n in range(count))]
    assert sorted(found) == sorted(map(str, range(count)))


def test_a_run_that_another_one_ended_says_so(forty: Duo):
    engine = Headroom(forty.engine, 3)
    work = jobs(prompts(4, 40), draws=2)
    expected = by_id(forty.engine(3).generate(work))
    first = engine.generate(work)
    next(first)
    assert tokens(by_id(engine.generate(work))) == tokens(expected)
    with pytest.raises(EngineError, match="another run began on the same engine"):
        next(first)


_LIMITED = """
import resource, sys, torch
torch.set_num_threads(1)
from qstar_core.engine.headroom import Headroom
from tests.engine.models import by_id, duo, jobs, prompts
from pathlib import Path
small = duo(Path(sys.argv[1]), 40)
work = jobs(prompts(4, 40), draws=2)
tokens = lambda engine: {name: one.sample.token_ids for name, one in by_id(engine.generate(work)).items()}
expected = tokens(small.engine(slots=2, context=64, max_tokens=4))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 120_000_000, resource.getrlimit(resource.RLIMIT_AS)[1]))
engine = Headroom(lambda slots: small.engine(slots=slots, context=64, max_tokens=4), 1 << 13)
assert tokens(engine) == expected
print(engine.slots)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is kept on Linux")
def test_a_real_limit_of_memory(tmp_path):
    done = subprocess.run([sys.executable, "-c", _LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert 1 <= int(done.stdout) < 1 << 13
    assert "out of memory with 8192 samples in flight; going on with 4096" in done.stderr
