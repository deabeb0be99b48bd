"""What is loaded, and what is refused in one line that names the file and the fix."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qstar_core.config import EngineSettings
from qstar_core.engine import hf
from qstar_core.engine.hf import load_model, shared_context
from qstar_core.engine.loading import load_alone
from qstar_core.engine.tokenizer import ChatTokenizer, check_same_vocabulary, shared_columns
from qstar_core.errors import EngineError, ModelError
from qstar_core.records import Message, ModelRef, Role
from tests.engine.models import END, Duo, by_id, duo, jobs, loaded, network, prompts, save_tokenizer

CPU = EngineSettings(device="cpu")
SOURCE = Path(hf.__file__).parents[1]


def reference(folder: Path) -> ModelRef:
    return ModelRef(name="mine", path=str(folder), revision=None, sha256="0" * 64)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    network(40, seed=5).save_pretrained(str(tmp_path))
    return save_tokenizer(tmp_path, 40)


def one_line(error: pytest.ExceptionInfo[ModelError]) -> str:
    assert "\n" not in str(error.value)
    assert error.value.fix
    return str(error.value)


def test_a_checkpoint_comes_back_as_it_was_saved(checkpoint):
    model = load_model(reference(checkpoint), CPU)
    assert model.eos_ids == {END}
    assert model.columns == 40
    for name, tensor in network(40, seed=5).state_dict().items():
        assert torch.equal(model.network.state_dict()[name], tensor)


def test_the_head_reads_the_last_position_without_gaps(checkpoint):
    """With gaps the logits are the same and the matrix of the head is copied each time."""
    head = (model := load_model(reference(checkpoint), CPU)).network.get_output_embeddings()
    seen = []
    head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].stride()))
    model.network(input_ids=torch.tensor([[5, 6, 7, 8]]), logits_to_keep=1)
    assert seen == [(32, 32, 1)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_precision_samples(checkpoint, dtype):
    model = load_alone(reference(checkpoint), EngineSettings(device="cpu", dtype=dtype))
    assert model.network.dtype == getattr(torch, dtype)
    both = Duo(model, model, ChatTokenizer("mine", checkpoint), 40)
    found = by_id(both.engine().generate(jobs(prompts(3, 40), 2)))
    assert len(found) == 6
    assert all(one.sample.error is None and np.isfinite(one.trace.logq).all() for one in found.values())


def test_missing_weights_are_refused(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ModelError) as error:
        load_model(reference(checkpoint), CPU)
    assert str(checkpoint) in one_line(error)


def test_pickled_weights_are_refused(checkpoint):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelError) as error:
        load_model(reference(checkpoint), CPU)
    assert "safetensors" in one_line(error)


def test_a_torn_file_of_weights_is_refused(checkpoint):
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ModelError) as error:
        load_model(reference(checkpoint), CPU)
    assert str(checkpoint) in one_line(error)


def test_a_checkpoint_that_lacks_a_tensor_is_refused_not_filled_with_noise(checkpoint):
    file = checkpoint / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError) as error:
        load_model(reference(checkpoint), CPU)
    assert "model.layers.1.mlp.up_proj.weight" in one_line(error)


def test_tied_weights_are_not_missing_ones(tmp_path):
    model = network(40, seed=5)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(str(tmp_path))
    save_tokenizer(tmp_path, 40)
    assert load_model(reference(tmp_path), CPU).columns == 40


@pytest.mark.parametrize("text", [None, "{", "{}"])
def test_a_broken_configuration_is_refused(checkpoint, text):
    if text is None:
        (checkpoint / "config.json").unlink()
    else:
        (checkpoint / "config.json").write_text(text)
    with pytest.raises(ModelError) as error:
        load_model(reference(checkpoint), CPU)
    assert str(checkpoint) in one_line(error)


def test_a_checkpoint_that_names_no_end_of_turn_is_refused(tmp_path):
    model = network(40, seed=5)
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    model.save_pretrained(str(tmp_path))
    with pytest.raises(ModelError) as error:
        load_model(reference(tmp_path), CPU)
    assert "end-of-turn" in one_line(error)


def test_a_tokenizer_must_exist_and_have_a_chat_template(tmp_path):
    with pytest.raises(ModelError) as error:
        ChatTokenizer("mine", tmp_path)
    assert str(tmp_path) in one_line(error)
    with pytest.raises(ModelError) as error:
        ChatTokenizer("mine", save_tokenizer(tmp_path, 40, template=False))
    assert "chat template" in one_line(error)


def test_a_rendered_conversation_opens_the_assistant_s_turn(forty: Duo):
    text, ids = forty.tokenizer.render((Message(role=Role.USER, content="w7 w9"),))
    assert text == "<user> w7 w9 <end> <assistant>"
    assert ids == (3, 7, 9, END, 4)
    assert forty.tokenizer.decode([7, 9, END]) == "w7 w9"
    assert forty.tokenizer.control_tokens >= {"<end>", "<user>", "<assistant>"}


def test_unequal_vocabularies_are_refused_and_a_token_named(forty: Duo, tmp_path):
    swapped = ChatTokenizer("other", save_tokenizer(tmp_path / "swapped", 40, swap=(10, 11)))
    with pytest.raises(ModelError) as error:
        check_same_vocabulary(forty.tokenizer, swapped)
    assert "'w10' is id 10 for one and 11 for the other" in one_line(error)
    longer = ChatTokenizer("longer", save_tokenizer(tmp_path / "longer", 41))
    with pytest.raises(ModelError) as error:
        check_same_vocabulary(forty.tokenizer, longer)
    assert "'w40'" in one_line(error)
    check_same_vocabulary(forty.tokenizer, forty.tokenizer)


def test_padded_columns_are_never_drawn_however_likely(tmp_path):
    padded = duo(tmp_path, 8, padding=(3, 8))
    for model in (padded.student, padded.teacher):
        with torch.no_grad():
            model.network.lm_head.weight[8:] *= 50
    found = by_id(padded.engine(slots=8).generate(jobs(prompts(8, 8), 8)))
    assert max(max(one.sample.token_ids) for one in found.values()) < 8
    assert all(one.sample.error is None for one in found.values())


def test_padding_changes_nothing(eight: Duo, tmp_path):
    """The same weights with noise in columns that mean nothing give the same samples."""
    wide = {}
    for side, extra in (("student", 3), ("teacher", 8)):
        model = network(8 + extra, seed=77, hidden=getattr(eight, side).network.config.hidden_size)
        state = getattr(eight, side).network.state_dict()
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            state[name] = torch.cat([state[name], model.state_dict()[name][8:]])
        model.load_state_dict(state)
        wide[side] = loaded(side, model)
    padded = Duo(**wide, tokenizer=eight.tokenizer, vocab=8)
    work = jobs(prompts(5, 8), 3)
    narrow, broad = by_id(eight.engine().generate(work)), by_id(padded.engine().generate(work))
    assert {name: one.sample.token_ids for name, one in narrow.items()} == {
        name: one.sample.token_ids for name, one in broad.items()}


def test_a_model_narrower_than_its_tokenizer_is_refused(forty: Duo):
    narrow = loaded("narrow", network(30, seed=1))
    with pytest.raises(ModelError) as error:
        shared_columns(forty.tokenizer, forty.student, narrow)
    assert "narrow has 30 logits, its tokenizer 40 ids" in one_line(error)


def test_the_context_is_that_of_the_shorter_model(tmp_path):
    short, long = tmp_path / "short", tmp_path / "long"
    network(40, seed=1, context=32).save_pretrained(str(short))
    network(40, seed=1, context=64).save_pretrained(str(long))
    assert shared_context(EngineSettings(), short, long) == shared_context(EngineSettings(), long, short) == 32
    assert shared_context(EngineSettings(context=16), short, long) == 16
    with pytest.raises(ModelError, match="33 is more than the models' 32"):
        shared_context(EngineSettings(context=33), short, long)


def test_a_device_that_is_not_there_is_an_engine_error():
    with pytest.raises(EngineError, match="warp"):
        hf.resolve_device("warp")


def test_no_checkpoint_s_own_code_is_ever_run():
    """Every call that could trust remote code says that it does not, in so many words."""
    for file in SOURCE.rglob("*.py"):
        text = file.read_text()
        assert "trust_remote_code=True" not in text.replace(" ", ""), file
        if file.parent.name == "engine":
            calls = sum(text.count(f"{name}.from_pretrained(") for name in (
                "AutoTokenizer", "AutoConfig", "AutoModelForCausalLM"))
            assert text.count("trust_remote_code=False") >= calls, file
    assert "weights_only=False" not in "".join(file.read_text() for file in SOURCE.rglob("*.py"))
