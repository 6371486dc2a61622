"""Recorded steps: neighbouring calls that share a launch, and the launches as a CUDA graph."""

from . import launches, runtime


def _gather_normal(gather, normal):
    seed, stream, clock, noise = normal
    if clock is gather[2]:
        return lambda: launches.gather(*gather, normal=(seed, stream, noise))


def _sample_divergence(sample, divergence):
    mu, rho, _, scale, sigma, _ = sample
    if divergence[0] is mu and divergence[1] is rho and divergence[2] is sigma and divergence[3] == scale:
        return lambda: launches.reparameterize_forward(*sample, kl=divergence[4])


def _sample_divergence_gradient(sample, divergence):
    rho, sigma, _, _, scale, dmu, drho = sample
    mu, kl_rho, kl_sigma, weight, kl_scale, kl_dmu, kl_drho = divergence
    if kl_rho is rho and kl_sigma is sigma and kl_dmu is dmu and kl_drho is drho and kl_scale == scale:
        return lambda: launches.reparameterize_backward(*sample, kl=(mu, weight))


def _bernoulli_totals(likelihood, batch):
    if likelihood[3] is batch[0]:
        return lambda: launches.bernoulli_nll(*likelihood, batch=batch[1:])


def _gaussian_totals(likelihood, batch):
    if likelihood[4] is batch[0]:
        return lambda: launches.gaussian_nll(*likelihood, batch=batch[1:])


def _sgd_tick(update, tick):
    if update[4] is tick[0]:
        return lambda: launches.sgd_update(*update, ticks=True)


def _adam_tick(update, tick):
    if update[5] is tick[0]:
        return lambda: launches.adam_update(*update, ticks=True)


# Pairs of neighbours that one launch can do. A rule gives that launch, or None where the two do not belong together.
RULES = {
    ("gather", "standard_normal"): _gather_normal,
    ("reparameterize_forward", "gaussian_kl_forward"): _sample_divergence,
    ("reparameterize_backward", "gaussian_kl_backward"): _sample_divergence_gradient,
    ("bernoulli_nll", "accumulate"): _bernoulli_totals,
    ("gaussian_nll", "accumulate"): _gaussian_totals,
    ("sgd_update", "tick"): _sgd_tick,
    ("adam_update", "tick"): _adam_tick,
}


def fuse(calls):
    """The calls as functions that launch, pairs first."""
    calls = list(calls)
    while calls:
        (name, arguments), *rest = calls
        rule = RULES.get((name, rest[0][0])) if rest else None
        together = rule(arguments, rest[0][1]) if rule else None
        if together:
            calls = rest[1:]
            yield together
        else:
            calls = rest
            yield lambda name=name, arguments=arguments: getattr(launches, name)(*arguments)


class CudaProgram:
    """A recorded step as launches with all arguments bound.

    The first run makes the launches one by one, which compiles and loads what is new; the second captures them as a
    CUDA graph, and from then on a step is one graph launch. Results are the same bit for bit.

    calls : what was recorded, as in `kernels.Program`
    launches : what that became
    """

    def __init__(self, calls):
        self.calls = tuple(calls)
        self._device = runtime.current()
        with self._device.collecting() as self.launches:
            for launch in fuse(self.calls):
                launch()
        self._graph = None
        self._runs = 0

    def launch_each(self):
        for launch in self.launches:
            self._device.run(launch)

    def __call__(self):
        if self._graph is None and self._runs:
            self._graph = self._device.capture(self.launches)
        self._runs += 1
        if self._graph is None:
            self.launch_each()
        else:
            self._graph()

    def __str__(self):
        return "\n".join(map(str, self.launches))
