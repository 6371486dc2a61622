"""Numba on the CPU, parallel. The kernels are stated in `naive`; this page says how they are run here.

- `target.py`: the vector unit this machine has, and all sizes chosen by measurement.
- `micro.py`, `packing.py`, `matmul.py`: the matrix product; `sparse.py`: the same where most of A is zero;
  `micro_bf16.py`, `bf16.py`: the same with operands of eight bits; `dense.py`: the layers around it.
- `posterior.py`, `importance.py`, `likelihoods.py`, `optimizers.py`, `data.py`, `random.py`, `scalar.py`: everything
  else.
- `backend.py`: the backend itself; `probe.py`: whether it can run here.
- `jit.py`: compiling and the cache on disk; `arguments.py`, `memory.py`: what a kernel is given, by name, and arrays
  in it; `program.py`: running; `threads.py`: the thread pool; `contract.py`, `checks.py`: from a call with arrays to an
  entry of a program.

Results are the same bit for bit whatever the number of threads. There is no BLAS call: its threads and these would wait
for each other.
"""
