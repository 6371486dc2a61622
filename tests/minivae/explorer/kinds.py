"""Models and data of every kind that a page can be made of: small, and the same each time."""

from functools import cache

import numpy as np

import minivae as mv


def _mnist(**options):
    data = mv.load_dataset("mnist", size=1000)
    options = {"latent": 20, "hidden": (400,), "backend": "numpy", "seed": 1} | options
    return mv.VAE(data.features, **options), data


def _default():
    """784-400-20 after an epoch, as `minivae train` makes it."""
    model, data = _mnist()
    mv.fit(model, data.train, epochs=2, batch_size=50, progress=False, seed=1)
    return model, data


def _latents_2():
    model, data = _mnist(latent=2, hidden=(60,), activation="tanh")
    mv.fit(model, data.train, epochs=4, batch_size=25, optimizer=mv.Adam(3e-3), progress=False, seed=1)
    return model, data


def _points(**options):
    """Data of two features, with a learned sigma."""
    data = mv.load_dataset("pinwheel", size=1000)
    options = {"latent": 2, "hidden": (32, 32), "activation": "tanh", "learn_sigma": True} | options
    model = mv.VAE(2, likelihood="gaussian", backend="numpy", seed=1, **options)
    mv.fit(model, data.train, epochs=3, batch_size=20, optimizer=mv.Adam(3e-3), progress=False, seed=1)
    return model, data


def _table():
    """Standardized columns with names, classes with names, a sigma for each feature."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((300, 5)) * [1, 20, 3, 0.1, 5] + [0, 100, -3, 7, 2]
    scaling = mv.datasets.Scaling.standardizing(rows)
    train, test = (scaling.apply(part) for part in (rows[:200], rows[200:]))
    columns, classes = ("height", "weight", "age", "width", "depth"), ("oak", "birch", "pine")
    labels = rng.integers(0, 3, 300)
    data = mv.datasets.Dataset(
        "trees.csv", train, test, labels[:200], labels[200:], columns=columns, classes=classes, scaling=scaling
    )
    options = {"likelihood": "gaussian", "learn_sigma": "features", "activation": "silu", "backend": "numpy"}
    return mv.VAE(5, 3, (16,), seed=1, **options), data


def _arrays(features=16, latent=3, rows=200, kind="float32", **options):
    """A model of random data, an array without labels."""
    rng = np.random.default_rng(0)
    bytes_ = rng.integers(0, 256, (rows, features), np.uint8)
    x = bytes_ if kind == "uint8" else (bytes_ / 255).astype(kind)
    return mv.VAE(features, latent, **{"hidden": (12,), "backend": "numpy", "seed": 1} | options), x


def _extreme():
    """Values, sigmas and losses as far out as floats go."""
    model = mv.VAE(2, 2, (6,), scale="exp", likelihood="gaussian", backend="numpy", seed=1)
    model.parameters["posterior.bias"] = [1e4, 0, 30, -60]
    return model, 1e30 * np.random.default_rng(0).standard_normal((40, 2))


def _far():
    """Values far from 0, a sigma of 0 by any measure, and long names of columns and classes."""
    rng = np.random.default_rng(0)
    names = ("a column whose name is told at great length " * 2, "第二列的名字也很长" * 6)
    x, labels = rng.standard_normal((40, 2)) * [1000, 0.001] + [5000, 0], np.arange(40) % 2
    data = mv.datasets.Dataset("far", x, x, labels, labels, columns=names, classes=("k" * 90, "一个很长的类别" * 8))
    model = mv.VAE(2, 2, (6,), likelihood="gaussian", scale="exp", backend="numpy", seed=1)
    model.parameters["posterior.bias"] = [0, 0, -370, -370]
    model.parameters["posterior.weight"] = np.zeros_like(model.parameters["posterior.weight"])
    return model, data


class Squash:
    """A layer of one's own."""

    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        return dy * (1 - self.y**2)


def _foreign():
    data = mv.load_dataset("mnist", size=1000)
    layers = [mv.Dense(784, 30), Squash()]
    return mv.VAE(784, 2, encoder=layers, hidden=(30,), backend="numpy", seed=1), data


def _with(made, **options):
    return (*made, options)


# Each gives (model, data) and perhaps options of `explore`.
KINDS = {
    "default": _default,
    "latents-2": _latents_2,
    "points": _points,
    "points-latent-1": lambda: _points(latent=1, hidden=(16,), learn_sigma=False, observation_sigma=0.5),
    "table": _table,
    "latent-1": lambda: _arrays(latent=1),
    "latents-100": lambda: _arrays(latent=100, hidden=(20,)),
    "no-labels": lambda: _with(_arrays(), image_shape=(4, 4)),
    "classes-40": lambda: _with(_arrays(), labels=[f"class {i % 40}" for i in range(200)], image_shape=(4, 4)),
    "rgb": lambda: _with(_arrays(features=192, kind="uint8"), image_shape=(8, 8, 3), labels=np.arange(200) % 5),
    "float64": lambda: _arrays(dtype="float64", kind="float64", activation="softplus", scale="exp"),
    "beta-binomial": lambda: _with(_arrays(kind="uint8", likelihood="beta_binomial"), image_shape=(4, 4)),
    "logistic": lambda: _with(_arrays(kind="uint8", likelihood="logistic", activation="gelu"), image_shape=(4, 4)),
    "no-hidden": lambda: _arrays(hidden=()),
    "deep": lambda: _arrays(hidden=(9, 8, 7), activation="leaky_relu", decoder_hidden=(5,), beta=4.0, free_bits=0.1),
    "bound": lambda: _with(_mnist(latent=3, hidden=(20,), objective="iwae", samples=4), pixels="dynamic"),
    "extreme": _extreme,
    "far": _far,
    "one-row": lambda: _arrays(features=1, latent=1, rows=1),
    "foreign": _foreign,
}


@cache
def made(kind):
    """(model, data, options of `explore`) of a kind; the model is shared: leave it as it is."""
    model, data, *options = KINDS[kind]()
    return model, data, {"name": f"a run of kind {kind}", **(options[0] if options else {})}


@cache
def page(kind):
    """The `Page` of a kind."""
    model, data, options = made(kind)
    return mv.explore(model, data, **options)
