"""The training step of minivae itself, behind the protocol of the peers: `minivae_step.py BACKEND [--loop] [--bf16]`.

With --loop it is the one that a user writes, forward, backward and update; without, the one that `fit` replays.
"""

import functools
import itertools
import sys

import numpy as np
import protocol

import minivae as mv
from minivae.kernels import philox
from minivae.losses import Tally


class Step:
    def __init__(self, shape, backend="cpu"):
        hidden = tuple(shape.hidden)
        options = {"objective": "iwae", "samples": shape.samples} if shape.samples > 1 else {}
        options |= {"scale": "exp", "backend": backend, "seed": shape.seed}
        self.model = mv.VAE(shape.features, shape.latent, hidden, **options)
        self._set(protocol.initial_parameters(shape))
        backend = self.model.backend
        optimizer = mv.Adam(learning_rate=1e-3)
        optimizer.attach(self.model)
        given = [backend.from_host(x) for x in protocol.batches(shape)]
        noise = backend.zeros((shape.batch * shape.samples, shape.latent), "float32")
        tally = Tally(self.model, optimizer.clock)

        if "--bf16" in sys.argv:
            self.model.precision = "bf16"
        self.model.settle(training=True)

        def step(x):
            backend.standard_normal(shape.seed, philox.NOISE, optimizer.clock, noise)
            tally.add(*self.model.pass_down(x, noise))
            self.model.pass_up()
            optimizer.update(self.model)

        def loop(x):
            self.model.forward(x)
            self.model.backward()
            optimizer.update(self.model)

        optimizer.plan(0 if "--loop" in sys.argv else 1)
        self.programs = [
            functools.partial(loop, x) if "--loop" in sys.argv else backend.record(functools.partial(step, x))
            for x in given
        ]
        self._turns = itertools.cycle(self.programs)

    def _set(self, parameters):
        for name, value in parameters.items():
            self.model.backend.assign(self.model.parameters[name], value)

    def __call__(self):
        next(self._turns)()

    def loss_and_gradients(self, parameters, x, noise):
        self._set(parameters)
        loss = self.model.forward(x, noise).loss
        self.model.backward()
        gradients = self.model.gradients
        return loss, {name: np.array(self.model.backend.to_host(value)) for name, value in gradients.items()}


def describe(backend):
    info = {"library": f"minivae {backend}"}
    if backend == "cpu":
        import numba

        from minivae.kernels.cpu import threads

        info |= {"numba": numba.__version__, "threads": threads.count(), "thread layer": threads.layer()}
    return info


if __name__ == "__main__":
    protocol.serve(lambda shape: Step(shape, sys.argv[1]), lambda: describe(sys.argv[1]))
