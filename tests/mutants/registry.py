"""How a bug is planted, and which checks then have to see it.

A mutant is a kernel that is changed, or a class that is exchanged, and nothing else. Its docstring says what is wrong
and, after "Seen:", where such a bug was found. `after`, `before` and `instead` hand the kernel's arguments over by the
names that `kernels/naive` gives them.
"""

import inspect
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from minivae.kernels import naive
from minivae.selfcheck.catalog import gradient_checks
from minivae.selfcheck.conduct_checks import conduct_checks
from minivae.selfcheck.kernel_checks import kernel_checks

MUTANTS = {}

# The sections of the catalog, and the parts and kernels that each has to do with.
SECTIONS = (
    ("Dense", ("Dense", "dense_forward", "dense_backward")),
    ("sampler", ("Reparameterize", "reparameterize_forward", "reparameterize_backward")),
    ("sampler", ("GaussianKL", "gaussian_kl_forward", "gaussian_kl_backward")),
    ("losses", ("Bernoulli", "Gaussian", "bernoulli_nll", "gaussian_nll")),
    ("losses", ("BetaBinomial", "Logistic", "beta_binomial_nll", "logistic_nll")),
    ("model", ("VAE", "free_bits")),
    ("bounds", ("log_weights", "importance_weights", "importance_gradient", "log_sigma_backward")),
    ("optimizers", ("SGD", "Adam", "AdamW", "Adagrad", "sgd_update", "adam_update", "adagrad_update", "clip_norm")),
    ("kernels", ("gather", "accumulate", "standard_normal")),
)


def sections(target):
    """The sections of a part or a kernel, the most telling first."""
    own = next(section for section, targets in SECTIONS if target in targets)
    return list(dict.fromkeys([own, "kernels"])) if hasattr(naive, target) else [own]


@dataclass(frozen=True)
class Mutant:
    """A planted bug: `target` is the kernel or the part it sits in, `file` where it stands here, and plant(parts) gives
    the parts with it."""

    name: str
    target: str
    file: str
    breaks: str
    seen: str
    plant: object

    def checks(self):
        """The checks of its sections; of the kernels, the one for its own kernel."""
        every = gradient_checks() + conduct_checks() + kernel_checks()
        for section in sections(self.target):
            for check in every:
                mine = check.section == section and (section != "kernels" or check.name == self.target)
                if mine and "float64" in check.dtypes:
                    yield check


def _register(mutant, target, plant):
    name, file = mutant.__name__, mutant.__module__.rpartition(".")[2]
    breaks, _, seen = inspect.cleandoc(mutant.__doc__).replace("\n", " ").partition("Seen: ")
    if name in MUTANTS:
        raise ValueError(f"two mutants are called {name}")
    MUTANTS[name] = Mutant(name, target, file, breaks.strip().rstrip("."), seen.strip().rstrip("."), plant)
    return mutant


def _kernel(run):
    """A decorator for functions of a kernel's named arguments; run(function, original, named, state) is the mutant."""

    def of(kernel):
        signature = inspect.signature(getattr(naive, kernel))

        def decorate(function):
            def make(original):
                state = {}

                def mutant(*arguments):
                    named = signature.bind(*arguments)
                    named.apply_defaults()
                    run(function, original, SimpleNamespace(**named.arguments), state)

                return mutant

            def plant(parts):
                return replace(parts, patches={**parts.patches, kernel: make})

            return _register(function, kernel, plant)

        return decorate

    return of


@_kernel
def after(function, original, a, state):
    """The mutant runs after the right kernel and spoils its results."""
    original(*vars(a).values())
    function(a)


@_kernel
def before(function, original, a, state):
    """The mutant changes the arguments that the right kernel gets; what it writes goes where it should."""
    function(a)
    original(*vars(a).values())


@_kernel
def instead(function, original, a, state):
    """The mutant is the kernel; it has the right one as a.original, all arguments, and a.state from call to call."""
    a.arguments = list(vars(a).values())
    a.original, a.state = original, state
    function(a)


def part(name):
    """The class is used instead of minivae's."""

    def decorate(cls):
        def plant(parts):
            if name in parts.optimizers:
                return replace(parts, optimizers={**parts.optimizers, name: cls})
            return replace(parts, **{name: cls})

        return _register(cls, name, plant)

    return decorate


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def softplus(a):
    return np.logaddexp(0.0, a)


def slope(a):
    """dsigma/drho of a sampler, of a KL or of their kernels' arguments."""
    return a.sigma if a.scale == "exp" else sigmoid(a.rho)


def by_sample(array, rows):
    """Rows of examples repeated to rows of samples."""
    return np.repeat(array, rows // len(array), axis=0)


def over_samples(array, n):
    """Rows of samples summed to rows of examples."""
    return array.reshape(n, -1, array.shape[1]).sum(axis=1)
