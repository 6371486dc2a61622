"""The kernels in Numba CUDA, for NVIDIA GPUs of compute capability 8.0 and up. `naive` states what each computes.

- `dense.py`, `posterior.py`, `likelihoods.py`, `importance.py`, `optimizers.py`, `data.py`: the kernels, and after each
  the contract's function, which chooses a variant and a grid. A function that can do the work of the call after it too
  has a keyword-only parameter of that name.
- `products.py`, `access.py`, `plans.py`: the matrix product. `totals.py`, `scalars.py`, `intrinsics.py`: what kernels
  share. `constants.py`: every block and tile size.
- `backend.py`: the backend itself; `probe.py`: whether it can run here; `program.py`: recorded steps.
- `runtime.py`: the device. Everything reaches it through this file, so that tests can run the same code, launch for
  launch, where there is none.

How the kernels map to the hardware is in docs/cuda.md.
"""
