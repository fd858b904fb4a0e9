"""Straight-line programs: readable Python over scalars, run on tensors or traced once and emitted as vector C.

| file | what |
|---|---|
| `scalar.py` | arithmetic on floats, tensors or symbols; constants fold |
| `algebra.py` | vectors and matrices as lists of scalars |
| `graph.py` | `Graph`, `Symbol`: the program as it is traced; equal expressions are one node |
"""
