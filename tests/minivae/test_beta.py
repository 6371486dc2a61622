"""The weight of the KL: what it does to loss and gradient, and that a change of it counts from the next step on."""

import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.losses import Tally

from .differences import assert_gradient

BACKENDS = kernels.available_backends()
SMALL = {"features": 6, "latent": 2, "hidden": (5, 4), "dtype": "float64", "seed": 4}


def data(n=7):
    return np.random.default_rng(1).random((n, 6)), np.random.default_rng(2).standard_normal((n, 2))


def gradients_of(model, x, noise):
    model.forward(x, noise)
    model.backward()
    return {name: model.backend.to_host(gradient).copy() for name, gradient in model.gradients.items()}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_change_counts_at_the_next_step(backend):
    """Loss, gradient, config and a repr are those of a model that was made with the new value, bit for bit."""
    model = mv.VAE(**SMALL, backend=backend)
    batches = [data(), data(3)]
    for beta in (1.0, 4.0, 0, 0.3):
        model.beta = beta
        fresh = mv.VAE(**SMALL, beta=beta, backend=backend)
        assert model.config == fresh.config
        assert model.config["beta"] == model.beta == beta
        for x, noise in batches:
            assert model.forward(x, noise) == fresh.forward(x, noise)
            terms = model.forward(x, noise)
            assert terms.loss == pytest.approx(terms.nll + beta * terms.kl, rel=1e-13)
            wanted = gradients_of(fresh, x, noise)
            for name, gradient in gradients_of(model, x, noise).items():
                np.testing.assert_array_equal(gradient, wanted[name], err_msg=f"{name}, beta {beta}")


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_recorded_follows(backend):
    model = mv.VAE(**SMALL, backend=backend)
    x, noise = map(model.backend.from_host, data())
    tally = Tally(model, model.backend.zeros((1,), "int64"))

    def step():
        tally.add(*model.pass_down(x, noise))
        model.pass_up()

    program = model.backend.record(step)
    model.beta = 4.0
    program()
    got = {name: model.backend.to_host(gradient).copy() for name, gradient in model.gradients.items()}
    fresh = mv.VAE(**SMALL, beta=4.0, backend=backend)
    for name, gradient in gradients_of(fresh, *data()).items():
        np.testing.assert_array_equal(got[name], gradient, err_msg=name)
    sums = tally.read()
    assert sums.last == fresh.forward(*data()).loss
    # two steps, with another beta each: the mean loss is no function of the mean terms
    assert sums.loss == pytest.approx(sums.nll + 2.5 * sums.kl, rel=1e-13)


def test_gradient_after_a_change_is_that_of_the_loss():
    model = mv.VAE(**SMALL, activation="tanh", backend="numpy")
    x, noise = data()
    gradients_of(model, x, noise)
    model.beta = 3.0
    for name, gradient in gradients_of(model, x, noise).items():
        assert_gradient(lambda: model.forward(x, noise).loss, model.parameters[name], gradient, name)


@pytest.mark.parametrize("beta", [-0.1, float("nan"), float("inf"), "1", None, True])
def test_no_weight_is_refused_and_changes_nothing(beta):
    model = mv.VAE(**SMALL, beta=0.5, backend="numpy")
    with pytest.raises(ValueError, match=f"beta: got {beta!r}, expected a finite number, 0 or more"):
        model.beta = beta
    assert (model.beta, model.config["beta"], model.beta_array.tolist()) == (0.5, 0.5, [0.5])


def test_a_bound_keeps_its_weight():
    model = mv.VAE(**SMALL, objective="iwae", samples=2, backend="numpy")
    with pytest.raises(ValueError, match=r"beta: got 0\.5, expected 1 with objective 'iwae'"):
        model.beta = 0.5
