"""Estimators of the gradient of E_q[f(z)] with respect to the parameters of q, each written by hand.

The common interface, stated once:

    estimator(f, q, rng, samples) -> (samples, parameters) float64

Row s is an estimate from draws of its own (one, where nothing else is said), so the mean over rows is the estimate from
all of them and the variance over rows is the variance that a single one has. Column p is the derivative with respect to
`q.names[p]`.

* f is a function with a derivative: `f(z)` and `f.derivative(z)`, elementwise for z (samples,); for a `Categorical` q,
  f takes points of the simplex (samples, categories) to (samples,) and its derivative has the shape of the points; for
  a `Bernoulli` q points of the cube (samples, bits), for the other q of vectors z (samples, d). Only the estimators
  that say so use the derivative. `functions.py` has some whose expectations are known exactly.
* q is one of `Normal`, `Gamma`, `Beta`, `Dirichlet`, `Categorical`, `Bernoulli` in `distributions.py`, a `Gaussian` of
  full covariance (`gaussian.py`) or a `PlanarFlow` (`planar.py`).
* rng is a `numpy.random.Generator`: the only randomness; samples, at least 1, how many rows.

    estimator                 for q               needs f'   unbiased       source
    score_function            all but PlanarFlow  no         yes            Williams 1992
      with baseline=          all but PlanarFlow  no         yes            Williams 1992; Greensmith et al. 2004
    pathwise                  Normal, Gaussian,   yes        yes            Kingma, Welling 2013; Rezende et al. 2014;
                              PlanarFlow                                    Murray 2016; Rezende, Mohamed 2015
    pathwise_elbo             Gaussian,           yes        yes            Rezende, Mohamed 2015
                              PlanarFlow
    measure_valued            Normal              no         yes            Pflug 1989; Mohamed et al. 2019
    implicit                  Gamma, Beta,        yes        yes            Figurnov, Mohamed, Mnih 2018
                              Dirichlet
    gumbel_softmax            Categorical         yes        no             Jang et al. 2016; Maddison et al. 2016
    straight_through          Categorical         yes        no             Bengio et al. 2013
    straight_through_gumbel   Categorical         yes        no             Jang et al. 2016
    leave_one_out             all but PlanarFlow  no         yes            Salimans, Knowles 2014; Kool et al. 2019
    disarm                    Bernoulli           no         yes            Dong et al. 2020; Yin et al. 2020
    rebar                     Bernoulli           yes        yes            Tucker et al. 2017
    vimco, of the bound L_K   discrete            no         yes            Mnih, Rezende 2016

`leave_one_out` and `vimco` evaluate f K times for each row, `disarm` twice, `rebar` f twice and its derivative once.
`enumeration.py` has the exact mean and variance of each of these.

Survey: Mohamed, Rosca, Figurnov and Mnih, "Monte Carlo gradient estimation in machine learning" (arXiv:1906.10652).
"""

from .bits import disarm, optimal_eta, rebar
from .continuous import measure_valued, optimal_baseline, pathwise, pathwise_elbo, score_function
from .discrete import gumbel_softmax, straight_through, straight_through_gumbel
from .distributions import Bernoulli, Beta, Categorical, Dirichlet, Gamma, Normal
from .gaussian import Gaussian
from .implicit import implicit
from .leave_one_out import leave_one_out, vimco
from .planar import PlanarFlow

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Dirichlet",
    "Gamma",
    "Gaussian",
    "Normal",
    "PlanarFlow",
    "disarm",
    "gumbel_softmax",
    "implicit",
    "leave_one_out",
    "measure_valued",
    "optimal_baseline",
    "optimal_eta",
    "pathwise",
    "pathwise_elbo",
    "rebar",
    "score_function",
    "straight_through",
    "straight_through_gumbel",
    "vimco",
]
