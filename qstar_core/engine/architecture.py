"""What a checkpoint's configuration asks of an engine whose memory is one key and one value per token and layer: the
longest context in which it can be honoured, or a refusal that names the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

from qstar_core.errors import ModelError

DEFAULT_CONTEXT = 2048
_ATTENTION = frozenset({"full_attention", "sliding_attention"})
_STRETCHED = frozenset({"dynamic", "longrope"})
_OTHER_MODEL = "use a decoder of the Llama, Qwen, Gemma, Mistral, Phi or GPT-2 kind"


def check_architecture(path: Path, config: Any) -> None:
    """Refuse what slots of keys and values cannot hold."""
    text = config.get_text_config()
    if odd := sorted(set(getattr(text, "layer_types", None) or ()) - _ATTENTION):
        raise ModelError(f"{path} has layers of kind {odd[0]}", "use a model whose layers all attend to their keys")
    network = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if network is None:
        raise ModelError(f"{path} is a {config.model_type}, which is no decoder of text", _OTHER_MODEL)
    if network._is_stateful:
        raise ModelError(f"{path} is a {config.model_type}, which keeps a running state", _OTHER_MODEL)
    if not network._can_set_attn_implementation():
        raise ModelError(f"{path} is a {config.model_type}, whose attention transformers lets nobody replace",
                         _OTHER_MODEL)
    scheme = quantisation(config)
    known = {name.removesuffix("_4bit").removesuffix("_8bit") for name in AUTO_QUANTIZATION_CONFIG_MAPPING}
    if scheme is not None and scheme not in known:  # transformers would take the weights for whole ones
        raise ModelError(f"{path} has weights of an unknown kind, {scheme}", "give an unquantised checkpoint")


def quantisation(config: Any) -> str | None:
    """What the scheme is called that the weights are stored in, if they are quantised."""
    found = getattr(config, "quantization_config", None)
    if found is None:
        return None
    method = found.get("quant_method") if isinstance(found, dict) else getattr(found, "quant_method", found)
    return str(getattr(method, "value", method))


def context_limit(config: Any) -> int:
    """How many tokens a checkpoint was made for. Rotations that stretch with the longest row of a batch would make a
    row depend on its neighbours, so those models stay within the length before they begin to."""
    text = config.get_text_config()
    limit = int(getattr(text, "max_position_embeddings", DEFAULT_CONTEXT))
    rope = getattr(text, "rope_parameters", None) or {}
    # Models with several kinds of layers have the parameters of each kind by its name.
    kinds = [rope] if "rope_type" in rope else [part for part in rope.values() if isinstance(part, dict)]
    stretched = [part for part in kinds if part.get("rope_type") in _STRETCHED]
    return min([limit, *(int(part.get("original_max_position_embeddings", limit)) for part in stretched)])
