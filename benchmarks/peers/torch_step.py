"""Peer: the training step in PyTorch, eager (the default) or under torch.compile (`--compile`); with `--bf16` under
autocast to bfloat16.

Best settings found: weights as (inputs, outputs) for addmm, the fused Adam, gradients set to None between steps.
"""

import itertools
import math
import sys

import numpy as np
import protocol
import torch
from torch.nn import functional as F


def loss_of(p, x, noise, hidden_layers, samples):
    with torch.autocast("cpu", torch.bfloat16, enabled="--bf16" in sys.argv):
        logits, mu, log_sigma, z = passes(p, x, noise, hidden_layers, samples)
    logits, mu, log_sigma = logits.float(), mu.float(), log_sigma.float()
    if samples > 1:
        nll = F.binary_cross_entropy_with_logits(logits, x.repeat_interleave(samples, 0), reduction="none").sum(1)
        log_ratio = (0.5 * (noise * noise - z * z) + log_sigma.repeat_interleave(samples, 0)).sum(1)
        return -(torch.logsumexp((log_ratio - nll).view(-1, samples), 1) - math.log(samples)).mean()
    nll = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = (0.5 * (mu * mu + torch.exp(2 * log_sigma) - 1) - log_sigma).sum()
    return (nll + kl) / x.shape[0]


def passes(p, x, noise, hidden_layers, samples):
    h = x
    for i in range(hidden_layers):
        h = torch.relu(torch.addmm(p[f"encoder.{i}.bias"], h, p[f"encoder.{i}.weight"]))
    mu, log_sigma = torch.addmm(p["posterior.bias"], h, p["posterior.weight"]).chunk(2, dim=1)
    sigma = torch.exp(log_sigma)
    if samples > 1:
        z = mu.repeat_interleave(samples, 0) + sigma.repeat_interleave(samples, 0) * noise
    else:
        z = mu + sigma * noise
    g = z
    for i in range(hidden_layers):
        g = torch.relu(torch.addmm(p[f"decoder.{i}.bias"], g, p[f"decoder.{i}.weight"]))
    return torch.addmm(p["likelihood.bias"], g, p["likelihood.weight"]), mu, log_sigma, z


class Step:
    def __init__(self, shape):
        torch.manual_seed(shape.seed)
        self.hidden_layers = len(shape.hidden)
        initial = protocol.initial_parameters(shape)
        self.parameters = {name: torch.tensor(value, requires_grad=True) for name, value in initial.items()}
        self.batches = itertools.cycle([torch.tensor(x) for x in protocol.batches(shape)])
        self.samples = shape.samples
        self.noise_shape = (shape.batch * shape.samples, shape.latent)
        self.optimizer = torch.optim.Adam(self.parameters.values(), lr=1e-3, fused=True)
        torch._dynamo.reset()  # or another shape would be compiled for any shape, and the ninth not at all
        self.loss_of = torch.compile(loss_of, dynamic=False) if "--compile" in sys.argv else loss_of

    def __call__(self):
        self.optimizer.zero_grad(set_to_none=True)
        self.loss = self.loss_of(
            self.parameters, next(self.batches), torch.randn(self.noise_shape), self.hidden_layers, self.samples
        )
        self.loss.backward()
        self.optimizer.step()

    def loss_and_gradients(self, parameters, x, noise):
        p = {name: torch.tensor(value, requires_grad=True) for name, value in parameters.items()}
        loss = self.loss_of(p, torch.tensor(x), torch.tensor(noise), self.hidden_layers, self.samples)
        loss.backward()
        return loss.item(), {name: np.asarray(value.grad) for name, value in p.items()}


def describe():
    how = "torch.compile" if "--compile" in sys.argv else "eager"
    how += ", autocast to bfloat16" if "--bf16" in sys.argv else ""
    return {"library": f"PyTorch {torch.__version__} {how}", "threads": torch.get_num_threads()}


if __name__ == "__main__":
    protocol.serve(Step, describe)
