"""The mathematics of q*: pure tensors, no model library, readable beside the paper.

Shape suffixes: B rows, V vocabulary. `theta` is the student, `t` the teacher, α the teacher's weight.
"""
