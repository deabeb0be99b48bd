"""q* inside vLLM. This folder is the only home of vLLM; nothing outside of it imports more than `installed`,
`layout` and `engine`, which do without vLLM until an engine starts.

The teacher is an ordinary vLLM engine. In its worker lives the student: a second vLLM engine that is stepped once per
step of the teacher by the teacher's logits processor (`nested`), or, where both roles have the same weights up to a
LoRA, every second row of the teacher's own batch (`paired`).
"""
