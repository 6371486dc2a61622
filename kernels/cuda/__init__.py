"""The kernels in Numba CUDA, for NVIDIA GPUs of compute capability 8.0 and up.

`backend` is the backend itself: the contract's functions, which choose grids and launch. The kernels are in `products`
(matrix products), `posterior`, `likelihoods`, `optimizers`, `data` and `totals`; `constants` holds every block and tile
size. Everything reaches the device through `runtime`, so that tests can run the same code, launch for launch, where
there is none. How the kernels map to the hardware is in docs/cuda.md.
"""
