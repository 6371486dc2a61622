"""How a bug is planted, and which checks then have to see it.

A mutant is a kernel that is changed, or a class that is exchanged, and nothing else. Its docstring says what is wrong
and, after "Seen:", where such a bug was found. `after`, `before` and `instead` hand the kernel's arguments over by the
names that `kernels/naive` gives them.
"""

import inspect
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from minivae.gradcheck.catalog import gradient_checks
from minivae.gradcheck.conduct_checks import conduct_checks
from minivae.gradcheck.kernel_checks import kernel_checks
from minivae.kernels import naive

MUTANTS = {}

# The sections of the catalog that a part or a kernel has to do with, the most telling first.
SECTIONS = {
    "Dense": ("Dense",),
    "Reparameterize": ("sampler",),
    "GaussianKL": ("sampler",),
    "Bernoulli": ("losses",),
    "Gaussian": ("losses",),
    "VAE": ("model",),
    "SGD": ("optimizers",),
    "Adam": ("optimizers",),
    "AdamW": ("optimizers",),
    "dense_forward": ("Dense", "kernels"),
    "dense_backward": ("Dense", "kernels"),
    "reparameterize_forward": ("sampler", "kernels"),
    "reparameterize_backward": ("sampler", "kernels"),
    "gaussian_kl_forward": ("sampler", "kernels"),
    "gaussian_kl_backward": ("sampler", "kernels"),
    "bernoulli_nll": ("losses", "kernels"),
    "gaussian_nll": ("losses", "kernels"),
    "sgd_update": ("optimizers", "kernels"),
    "adam_update": ("optimizers", "kernels"),
    "clip_norm": ("optimizers", "kernels"),
    "log_weights": ("bounds", "kernels"),
    "importance_weights": ("bounds", "kernels"),
    "importance_gradient": ("bounds", "kernels"),
    "log_sigma_backward": ("bounds", "kernels"),
    "gather": ("kernels",),
    "accumulate": ("kernels",),
    "standard_normal": ("kernels",),
}


@dataclass(frozen=True)
class Mutant:
    """A planted bug: `target` is the kernel or the part it sits in, plant(parts) gives the parts with it."""

    name: str
    target: str
    breaks: str
    seen: str
    plant: object

    def checks(self):
        """The checks of its sections; of the kernels, the one for its own kernel."""
        every = gradient_checks() + conduct_checks() + kernel_checks()
        for section in SECTIONS[self.target]:
            for check in every:
                if "float64" not in check.dtypes:
                    continue
                if check.section == section and (section != "kernels" or check.name == self.target):
                    yield check


def _register(name, target, doc, plant):
    breaks, _, seen = inspect.cleandoc(doc).replace("\n", " ").partition("Seen: ")
    if name in MUTANTS:
        raise ValueError(f"two mutants are called {name}")
    MUTANTS[name] = Mutant(name, target, breaks.strip().rstrip("."), seen.strip().rstrip("."), plant)


def _kernel(kernel, function, make):
    def plant(parts):
        return replace(parts, patches={**parts.patches, kernel: make})

    _register(function.__name__, kernel, function.__doc__, plant)
    return function


def _named(kernel, arguments):
    names = inspect.signature(getattr(naive, kernel)).parameters
    return SimpleNamespace(**dict(zip(names, arguments, strict=True)))


def after(kernel):
    """The mutant runs after the right kernel and spoils its results."""

    def decorate(function):
        def make(original):
            def mutant(*arguments):
                original(*arguments)
                function(_named(kernel, arguments))

            return mutant

        return _kernel(kernel, function, make)

    return decorate


def before(kernel):
    """The mutant changes the arguments that the right kernel gets; what it writes goes where it should."""

    def decorate(function):
        def make(original):
            def mutant(*arguments):
                named = _named(kernel, arguments)
                function(named)
                original(*vars(named).values())

            return mutant

        return _kernel(kernel, function, make)

    return decorate


def instead(kernel):
    """The mutant is the kernel; `original` is among its arguments' names for what it leaves as it is."""

    def decorate(function):
        def make(original):
            state = {}

            def mutant(*arguments):
                named = _named(kernel, arguments)
                named.original, named.state, named.arguments = original, state, arguments
                function(named)

            return mutant

        return _kernel(kernel, function, make)

    return decorate


def part(name):
    """The class is used instead of minivae's."""

    def decorate(cls):
        def plant(parts):
            if name in parts.optimizers:
                return replace(parts, optimizers={**parts.optimizers, name: cls})
            return replace(parts, **{name: cls})

        _register(cls.__name__, name, cls.__doc__, plant)
        return cls

    return decorate


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def softplus(a):
    return np.logaddexp(0.0, a)


def by_sample(array, rows):
    """Rows of examples repeated to rows of samples."""
    return np.repeat(array, rows // len(array), axis=0)


def over_samples(array, n):
    """Rows of samples summed to rows of examples."""
    return array.reshape(n, -1, array.shape[1]).sum(axis=1)
