"""Losses and gradients against PyTorch's autograd, where PyTorch is installed."""

import numpy as np
import pytest

import minivae as mv
from minivae import kernels

torch = pytest.importorskip("torch", reason="PyTorch is not installed; it is a peer to compare with, not a dependency")

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]
ACTIVATION = {
    "identity": lambda a: a,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": torch.nn.functional.softplus,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
}


def torch_loss(model, parameters, x, noise):
    """The loss written with PyTorch's own functions and distributions."""
    activation = ACTIVATION[model.config["activation"]]

    def dense(name, h):
        return h @ parameters[f"{name}.weight"] + parameters[f"{name}.bias"]

    h = x
    for i in range(len(model.config["hidden"])):
        h = activation(dense(f"encoder.{i}", h))
    mu, rho = dense("posterior", h).chunk(2, dim=1)
    sigma = torch.nn.functional.softplus(rho) if model.scale == "softplus" else rho.exp()
    h = mu + sigma * noise
    for i in range(len(model.config["decoder_hidden"])):
        h = activation(dense(f"decoder.{i}", h))
    output = dense("likelihood", h)
    if model.likelihood.name == "bernoulli":
        nll = torch.nn.functional.binary_cross_entropy_with_logits(output, x, reduction="none").sum(1)
    else:
        log_sigma = parameters.get(
            "likelihood.log_sigma", torch.tensor(model.config["observation_sigma"], dtype=x.dtype).log()
        )
        nll = -torch.distributions.Normal(output, log_sigma.exp()).log_prob(x).sum(1)
    prior = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(mu, sigma), prior).sum(1)
    return (nll + model.beta * kl).mean()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("activation", ACTIVATION)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": "exp", "beta": 0.4},
        {"likelihood": "gaussian", "observation_sigma": 0.5},
        {"likelihood": "gaussian", "learn_sigma": True, "scale": "exp"},
    ],
    ids=str,
)
def test_loss_and_every_gradient(options, activation, dtype, tolerance, backend):
    model = mv.VAE(30, 4, (17, 9), activation, dtype=dtype, backend=backend, seed=2, **options)
    rng = np.random.default_rng(1)
    x, noise = rng.random((13, 30)).astype(dtype), rng.standard_normal((13, 4)).astype(dtype)
    terms = model.forward(x, noise)
    model.backward()
    parameters = {name: torch.tensor(np.array(value), requires_grad=True) for name, value in model.parameters.items()}
    loss = torch_loss(model, parameters, torch.tensor(x), torch.tensor(noise))
    loss.backward()
    assert terms.loss == pytest.approx(loss.item(), rel=tolerance)
    for name, gradient in model.gradients.items():
        expected = parameters[name].grad.numpy()
        assert np.abs(gradient - expected).max() <= tolerance * np.abs(expected).max(), name
