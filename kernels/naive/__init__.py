"""The specification: every kernel of the contract as plain loops over plain arrays.

Each function states its formula and shapes and computes them in the most obvious way, element by element, in float64,
rounding once when the result is stored. It is far too slow to use and exists to be read and to be tested against: a
backend has exactly these functions with exactly these arguments, in files of the same names.

Rules that hold for all of them:

* Results go into arrays the caller owns; inputs are not changed unless the text says so.
* All float arrays of one call share one dtype, float32 or float64. `totals`, `norm` and `rates` are always float64,
  `clock` and `order` int64.
* Arrays are C-contiguous, except `mu`, `rho`, `dmu` and `drho`, which may be column blocks of a wider array.
* What changes from step to step (`clock`, `rates`, `order`) is read from arrays, so that a recorded sequence of calls
  can be replayed with the same arguments.
* Where rows of samples belong to rows of data, sample `s` of example `i` is row `i * samples + s`.

Below the kernels of a file stand their inputs. `adam_update_cases(dtype, rng)` yields cases of `adam_update`, each
(arguments, bounds): the arguments in order, and for the name of each argument that the kernel writes the largest
absolute error allowed, a number or an array. Bounds follow from the number of roundings: a sum of n terms is off by at
most about n * eps * (sum of their absolute values), whatever the order of summation (Higham, "Accuracy and Stability of
Numerical Algorithms", 2nd edition, section 4.2), and an elementary function is taken to be good to ELEMENTARY eps.
`minivae.kernels.cases` compares a backend's results with the specification's.

The class at the end of a file lists its kernels. It is what makes a function a kernel, and through it editors and type
checkers know the methods of a `Backend`.
"""

# ruff: noqa: F403
from .data import *
from .dense import *
from .importance import *
from .likelihoods import *
from .optimizers import *
from .posterior import *
