"""Bugs in the update rules. A gradient check sees none of them."""

import numpy as np

from minivae import SGD, Adam, AdamW

from .registry import after, before, instead, part


def _rate(a):
    return float(a.rates[min(int(a.clock[0]), len(a.rates) - 1)])


def _moments(a):
    """Updates both; returns the number of this step, from 1."""
    a.first[...] = a.beta1 * a.first + (1 - a.beta1) * a.gradient
    a.second[...] = a.beta2 * a.second + (1 - a.beta2) * a.gradient**2
    return int(a.clock[0]) + 1


def _step(a, t):
    """The right step for both moments corrected as after t steps."""
    first, second = a.first / (1 - a.beta1**t), a.second / (1 - a.beta2**t)
    a.parameter -= _rate(a) * (first / (np.sqrt(second) + a.eps) + a.weight_decay * a.parameter)


def _clip(a):
    if a.norm[0] > a.limit:
        a.gradient *= a.limit / a.norm[0]


@instead("adam_update")
def adam_uncorrected(a):
    """No bias correction at all."""
    _moments(a)
    a.parameter -= _rate(a) * (a.first / (np.sqrt(a.second) + a.eps) + a.weight_decay * a.parameter)


@instead("adam_update")
def adam_step_off_by_one(a):
    """The first step corrects as if it were the second."""
    _step(a, _moments(a) + 1)


@instead("adam_update")
def adam_eps_inside(a):
    """eps is added under the root."""
    t = _moments(a)
    first, second = a.first / (1 - a.beta1**t), a.second / (1 - a.beta2**t)
    a.parameter -= _rate(a) * (first / np.sqrt(second + a.eps) + a.weight_decay * a.parameter)


@instead("adam_update")
def adam_eps_before_correction(a):
    """eps is added before the second moment is corrected, unscaled."""
    t = _moments(a)
    step = _rate(a) * np.sqrt(1 - a.beta2**t) / (1 - a.beta1**t)
    a.parameter -= step * a.first / (np.sqrt(a.second) + a.eps) + _rate(a) * a.weight_decay * a.parameter


@instead("adam_update")
def adam_corrects_one_moment(a):
    """Only the first moment is corrected."""
    t = _moments(a)
    first = a.first / (1 - a.beta1**t)
    a.parameter -= _rate(a) * (first / (np.sqrt(a.second) + a.eps) + a.weight_decay * a.parameter)


@before("adam_update")
def adam_betas_exchanged(a):
    """beta1 and beta2 are exchanged."""
    a.beta1, a.beta2 = a.beta2, a.beta1


@instead("adam_update")
def adam_second_of_first(a):
    """The second moment is made of the first moment's square, not of the gradient's."""
    a.first[...] = a.beta1 * a.first + (1 - a.beta1) * a.gradient
    a.second[...] = a.beta2 * a.second + (1 - a.beta2) * a.first**2
    _step(a, int(a.clock[0]) + 1)


@instead("adam_update")
def adam_second_never_falls(a):
    """The second moment is the largest so far: AMSGrad under Adam's name."""
    old = a.second.copy()
    t = _moments(a)
    np.maximum(a.second, old, out=a.second)
    _step(a, t)


@before("adam_update")
def adam_constant_clock(a):
    """Every step is corrected as the first."""
    a.clock = np.zeros_like(a.clock)


@before("adam_update")
def decay_through_moments(a):
    """Weight decay is added to the gradient: L2 under AdamW's name."""
    a.gradient = a.gradient + a.weight_decay * a.parameter
    a.weight_decay = 0.0


@after("adam_update")
def decay_without_rate(a):
    """Weight decay is not multiplied by the learning rate."""
    a.parameter -= 0.01 * a.weight_decay * a.parameter


@part("Adam")
class BetaOfYburda(Adam):
    """beta1 is 0.99 whatever is asked. Seen: yburda/iwae, where the paper says 0.9."""

    def __init__(self, learning_rate=1e-3, beta1=0.9, **options):
        super().__init__(learning_rate, 0.99, **options)


@part("AdamW")
class DecayForgotten(AdamW):
    """weight_decay is taken and not used."""

    def attach(self, model):
        self.weight_decay = 0.0
        super().attach(model)


@instead("adagrad_update")
def adagrad_forgets(a):
    """The sum of squares is a moving average: RMSProp under Adagrad's name."""
    a.gradient = a.gradient + a.weight_decay * a.parameter
    a.squares[...] = 0.9 * a.squares + 0.1 * a.gradient**2
    a.parameter -= _rate(a) * a.gradient / (np.sqrt(a.squares) + a.eps)


@before("adagrad_update")
def adagrad_decay_decoupled(a):
    """Weight decay does not pass through the sum of squares: AdamW's under Adagrad's name."""
    a.parameter *= 1 - _rate(a) * a.weight_decay
    a.weight_decay = 0.0


@instead("adagrad_update")
def adagrad_looks_back(a):
    """The step is divided by the root of the squares before this gradient's entered them."""
    a.gradient = a.gradient + a.weight_decay * a.parameter
    a.parameter -= _rate(a) * a.gradient / (np.sqrt(a.squares) + a.eps)
    a.squares += a.gradient**2


@before("adagrad_update")
def adagrad_sum_lost(a):
    """The sum of squares is updated in a copy."""
    a.squares = a.squares.copy()


@before("sgd_update")
def momentum_dampened(a):
    """The gradient enters the velocity times 1 - momentum."""
    if a.velocity is not None:
        a.gradient = (1 - a.momentum) * a.gradient


@instead("sgd_update")
def nesterov_of_the_past(a):
    """Nesterov's step takes the velocity before it is updated."""
    old = None if a.velocity is None else a.velocity.copy()
    parameter = a.parameter.copy()
    a.original(*a.arguments)
    if a.nesterov:
        a.parameter[...] = parameter - _rate(a) * (a.gradient + a.momentum * old)


@before("sgd_update")
def nesterov_ignored(a):
    """nesterov=True changes nothing."""
    a.nesterov = False


@before("sgd_update")
def velocity_lost(a):
    """The velocity is updated in a copy."""
    if a.velocity is not None:
        a.velocity = a.velocity.copy()


@before("sgd_update")
def rate_of_next_step(a):
    """The schedule is read one step too late."""
    a.clock = a.clock + 1


@before("sgd_update")
def rate_of_first_step(a):
    """The schedule is read once and kept."""
    a.clock = np.zeros_like(a.clock)


@part("SGD")
class ScheduleNotFollowed(SGD):
    """The schedule is asked for step 0 at every step."""

    def __init__(self, learning_rate=1e-2, **options):
        super().__init__(learning_rate, **options)
        first, schedule = self.schedule(0), self.schedule
        self.schedule = lambda step: first if callable(schedule) else schedule(step)


@part("SGD")
class MovesUphill(SGD):
    """The gradient is added."""

    def update(self, model):
        for gradient in model.gradients.values():
            gradient *= -1
        super().update(model)


@part("SGD")
class ClockStandsStill(SGD):
    """The step is not counted."""

    def update(self, model):
        super().update(model)
        self.clock[...] = 0


@instead("clip_norm")
def clipped_by_largest(a):
    """Clips by the largest entry instead of the Euclidean norm."""
    a.norm[0] = np.max(np.abs(a.gradient))
    _clip(a)


@instead("clip_norm")
def always_rescaled(a):
    """Small gradients are blown up to the limit as well."""
    a.norm[0] = np.linalg.norm(a.gradient)
    a.gradient *= a.limit / a.norm[0]


@instead("clip_norm")
def norm_without_tail(a):
    """The sum of squares leaves out what lies behind the last full block of 64."""
    keep = len(a.gradient) // 64 * 64 or len(a.gradient)
    a.norm[0] = np.linalg.norm(a.gradient[:keep])
    _clip(a)


@after("adam_update")
def adam_tail_untouched(a):
    """Entries behind the last full block of 8 do not move."""
    keep = len(a.parameter) // 8 * 8
    a.parameter[keep:] += _rate(a) * np.sign(a.first[keep:])
