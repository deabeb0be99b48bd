"""Whether a LoRA fits its base, by the headers of both: vLLM leaves out layers that it does not know, and stumbles over
wrong shapes only in the middle of a step.

A base whose tensors have other names than its layers, or are quantised, is left to vLLM.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open

from qstar_core.errors import ModelError

_FIX = "set student.base to the model that it was trained on"
_WEIGHTS = "adapter_model.safetensors"
_START, _FLOATS = "base_model.model.", {"F64", "F32", "F16", "BF16"}
_SIDES = {".lora_A.weight": 1, ".lora_B.weight": 0}
"""Which dimension of the layer's weight the matrix shares."""


def check_fit(adapter: Path, base: Path) -> None:
    layers = {name.removesuffix(".weight"): shape for file in sorted(base.glob("*.safetensors"))
              for name, (shape, kind) in _shapes(file).items() if kind in _FLOATS}
    matrices = [(name.removeprefix(_START).removesuffix(side), dimension, shape[dimension])
                for name, (shape, _) in _shapes(adapter / _WEIGHTS).items()
                for side, dimension in _SIDES.items() if name.endswith(side) and len(shape) == 2]
    if not matrices:
        raise ModelError(f"{adapter / _WEIGHTS} has no matrices of a LoRA", "give a complete PEFT adapter")
    if not any(layer in layers for layer, _, _ in matrices):
        return
    for layer, dimension, size in matrices:
        if layer not in layers:
            raise ModelError(f"the adapter in {adapter} does not fit its base: {layer} has no counterpart", _FIX)
        if layers[layer][dimension] != size:
            raise ModelError(f"the adapter in {adapter} does not fit its base: {layer} is {layers[layer]}, and the "
                             f"adapter has {size} where that has {layers[layer][dimension]}", _FIX)


def _shapes(file: Path) -> dict[str, tuple[list[int], str]]:
    with safe_open(str(file), framework="pt") as tensors:
        parts = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118, no mapping
        return {name: (list(part.get_shape()), part.get_dtype()) for name, part in parts.items()}
