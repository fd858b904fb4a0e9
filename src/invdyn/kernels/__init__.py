"""Straight-line programs: readable Python over scalars, run on tensors or traced once and emitted as vector C.

| file | what |
|---|---|
| `scalar.py` | arithmetic on floats, tensors or symbols; constants fold |
| `algebra.py` | vectors and matrices as lists of scalars |
| `graph.py` | `Graph`, `Symbol`: the program as it is traced; equal expressions are one node |
| `program.py` | `trace`, `Program`: the finished program; runs on tensors operation by operation |
| `derivative.py` | `vjp`, `jvp`, `jacobian`: derivatives of a program are programs |
| `packing.py` | `Packed`: results written once each, without structural zeros |
| `emit_c.py`, `vector_math.h`, `batches.h` | a program as C on vectors, through the batch, on threads |
| `compiler.py` | the system's compiler, and a cache on disk by content |
| `compiled.py` | `CompiledProgram`: native code on tensors of any layout |
| `function.py` | `Function`: a program under autograd, torch.func and vmap |
"""
