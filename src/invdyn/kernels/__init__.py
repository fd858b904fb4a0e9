"""Straight-line programs: readable Python over scalars, run on tensors or traced, and emitted as C or for GPUs.

| file | what |
|---|---|
| `scalar.py` | arithmetic on floats, tensors or symbols; constants fold |
| `algebra.py` | vectors and matrices as lists of scalars |
| `graph.py` | `Graph`, `Symbol`: the program as it is traced; equal expressions are one node |
| `program.py` | `trace`, `Program`: the finished program; runs on tensors operation by operation |
| `derivative.py` | `vjp`, `jvp`, `jacobian`: derivatives of a program are programs |
| `packing.py` | `Packed`: results written once each, without structural zeros |
| `emit_c.py`, `vector_math.h`, `batches.h` | a program as C on vectors, through the batch, on threads |
| `emit_cuda.py`, `cuda_math.h` | a program as a GPU kernel, one thread a sample |
| `forms.py` | how both write an operation and a number |
| `pieces.py` | long programs cut into functions that compilers can take |
| `store.py`, `stored.py` | files kept by content, checked; programs kept by what they were traced from |
| `compiler.py`, `compiled.py` | the system's C compiler; `CompiledProgram`: native code on CPU tensors of any layout |
| `nvrtc.py`, `cuda.py` | the GPU's compiler; `CudaProgram`: the same on CUDA tensors |
| `function.py` | `Function`: a program under autograd, torch.func and vmap |
"""
