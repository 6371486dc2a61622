"""The control: a fixed amount of NumPy work that runs none of our code, so that a slow machine shows as one."""

import numpy as np
import protocol


class Step:
    def __init__(self, shape):
        rng = np.random.default_rng(0)
        self.a, self.b = (rng.random((256, 256), dtype=np.float32) for _ in range(2))
        self.c, self.d = np.empty_like(self.a), rng.random(1 << 18, dtype=np.float32)

    def __call__(self):
        np.matmul(self.a, self.b, out=self.c)
        np.sqrt(self.d, out=self.d)


if __name__ == "__main__":
    protocol.serve(Step, lambda: {"library": f"control (NumPy {np.__version__})"})
