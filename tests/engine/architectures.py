"""Tiny random models of every architecture that the engine is tested with. Windows are shorter than the context."""

from __future__ import annotations

from typing import Any

import torch
import transformers

WINDOW = 6
_SIZE = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "max_position_embeddings": 64, "initializer_range": 0.25, "bos_token_id": None, "eos_token_id": 2,
         "pad_token_id": 0}
_GROUPED = {**_SIZE, "num_key_value_heads": 2}
_HEADS = {**_GROUPED, "head_dim": 8}
_MIXED = ["sliding_attention", "full_attention"]
_HALF = 4  # rotated pairs of a head of 8

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", _GROUPED),
    "llama, every head its own": ("LlamaConfig", {**_SIZE, "num_key_value_heads": 4}),
    "qwen2": ("Qwen2Config", _GROUPED),
    "qwen2, window": ("Qwen2Config", {**_GROUPED, "use_sliding_window": True, "sliding_window": WINDOW,
                                      "layer_types": _MIXED}),
    "qwen3": ("Qwen3Config", _HEADS),
    "gemma, one key head": ("GemmaConfig", {**_HEADS, "num_key_value_heads": 1}),
    "gemma2, window and caps": ("Gemma2Config", {**_HEADS, "sliding_window": WINDOW, "layer_types": _MIXED,
                                                 "query_pre_attn_scalar": 8, "attn_logit_softcapping": 2.0,
                                                 "final_logit_softcapping": 5.0}),
    "gemma3, window": ("Gemma3TextConfig", {**_HEADS, "sliding_window": WINDOW, "layer_types": _MIXED,
                                            "query_pre_attn_scalar": 8}),
    "mistral": ("MistralConfig", {**_GROUPED, "sliding_window": None}),
    "mistral, window": ("MistralConfig", {**_GROUPED, "sliding_window": WINDOW}),
    "gpt2, learned positions": ("GPT2Config", {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4,
                                               "n_positions": 64, "initializer_range": 0.25, "bos_token_id": 2,
                                               "eos_token_id": 2}),
    "phi": ("PhiConfig", _SIZE),
    "phi3, window": ("Phi3Config", {**_GROUPED, "sliding_window": WINDOW}),
    "phi3, long rotations": ("Phi3Config", {**_GROUPED, "original_max_position_embeddings": 32, "rope_parameters": {
        "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 32,
        "short_factor": [1.0] * _HALF, "long_factor": [4.0] * _HALF}}),
    "gpt-oss, sinks and window": ("GptOssConfig", {**_HEADS, "intermediate_size": 32, "num_local_experts": 2,
                                                   "num_experts_per_tok": 1, "sliding_window": WINDOW,
                                                   "layer_types": _MIXED, "rope_parameters": {
                                                       "rope_type": "default", "rope_theta": 10000.0}}),
    "deepseek-v3, values narrower than keys": ("DeepseekV3Config", {
        **_SIZE, "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8, "v_head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
        "topk_group": 1, "moe_intermediate_size": 16, "first_k_dense_replace": 1}),
    "opt": ("OPTConfig", {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
                          "ffn_dim": 64, "max_position_embeddings": 64, "word_embed_proj_dim": 32, "init_std": 0.25,
                          "bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 0}),
}


def config(name: str) -> Any:
    kind, options = CONFIGS[name]
    return getattr(transformers, kind)(**options)


def random_network(name: str, attention: str) -> Any:
    """The same weights whatever the attention."""
    torch.manual_seed(3)
    made = transformers.AutoModelForCausalLM.from_config(config(name), attn_implementation=attention)
    for parameter in made.parameters():  # norms, biases and sinks begin at 0 or 1, where some mistakes do not show
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made.float().eval().requires_grad_(False)
