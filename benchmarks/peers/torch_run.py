"""Peer: a whole run as PyTorch's own VAE example does it, the same work as `minivae train`: MNIST with grey pixels,
784-400-20-400-784, Adam 1e-3, batch 128, a pass over the test set after each epoch, and samples at the end.

    torch_run.py FOLDER_WITH_MNIST EPOCHS OUT.npy
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def images(path):
    with gzip.open(path) as file:
        return torch.tensor(np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784).copy())


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.mu, self.log_variance = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.decoder, self.output = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x):
        h = F.relu(self.hidden(x))
        mu, log_variance = self.mu(h), self.log_variance(h)
        z = mu + torch.exp(0.5 * log_variance) * torch.randn_like(mu)
        return self.output(F.relu(self.decoder(z))), mu, log_variance


def loss_of(logits, x, mu, log_variance):
    nll = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return nll - 0.5 * torch.sum(1 + log_variance - mu.pow(2) - log_variance.exp())


def main(folder, epochs, out):
    torch.manual_seed(1)
    train, test = (images(Path(folder) / f"{name}-images-idx3-ubyte.gz") for name in ("train", "t10k"))
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    for epoch in range(int(epochs)):
        order = torch.randperm(len(train))
        for rows in order.split(128):
            x = train[rows].float().div_(255)
            optimizer.zero_grad(set_to_none=True)
            logits, mu, log_variance = model(x)
            (loss_of(logits, x, mu, log_variance) / len(x)).backward()
            optimizer.step()
        with torch.no_grad():
            total = 0.0
            for x in test.split(128):
                x = x.float().div_(255)
                total += loss_of(*[(o := model(x))[0], x, *o[1:]]).item()
        print(f"epoch {epoch + 1}: test loss {total / len(test):.2f}", file=sys.stderr)
    with torch.no_grad():
        samples = torch.sigmoid(model.output(F.relu(model.decoder(torch.randn(64, 20)))))
    np.save(out, samples.numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
