"""The kernels in Numba CUDA, for NVIDIA GPUs of compute capability 8.0 and up.

`backend` is the backend itself: the contract's functions. `launches` chooses grids; the kernels are in `dense`
(matrix products), `posterior`, `likelihoods`, `importance`, `optimizers`, `data` and `totals`; `constants` holds every
block and tile size. Everything reaches the device through `runtime`, so that tests can run the same code, launch for
launch, where there is none. How the kernels map to the hardware is in docs/cuda.md.
"""
