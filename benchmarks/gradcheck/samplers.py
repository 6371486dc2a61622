"""What check_sampler sees and refuses: `python -m benchmarks.gradcheck.samplers [--seeds 100] [--right 1000]`.

Prints, as JSON, in how many seeds each fault is seen, and how often right samplers of several kinds are refused.
"""

import argparse
import json
import math

import numpy as np

from minivae.gradcheck import check_sampler, dirichlet_sticks

SHAPE = (50, 20)  # 1,000 coordinates


def normal(shape):
    return lambda rng: rng.standard_normal(shape)


def _half(rng):
    e = rng.standard_normal((SHAPE[0] // 2, SHAPE[1]))
    return np.concatenate([e, e])


def _pair(rng):
    e = rng.standard_normal(math.prod(SHAPE))
    e[777] = e[3]
    return e.reshape(SHAPE)


def _radius(rng):
    return np.sqrt(-2 * np.log(1 - rng.random((SHAPE[0], 1)))) * np.cos(2 * np.pi * rng.random(SHAPE))


def _again(lag):
    """Makes noise of which every second stretch of `lag` draws is the one before."""

    def make(seed):
        kept, calls = [], [0]

        def noise(rng):
            new = calls[0] // lag % 2 == 0
            calls[0] += 1
            kept.append(rng.standard_normal(SHAPE) if new else kept[-lag])
            del kept[:-lag]
            return kept[-1]

        return noise

    return make


def _pool(order):
    def make(seed):
        pool, calls = np.random.default_rng([seed, 9]).standard_normal((256, *SHAPE)), [0]

        def noise(rng):
            calls[0] += 1
            return pool[calls[0] % 256 if order == "in turn" else rng.integers(256)]

        return noise

    return make


def _moved(seed):
    last = [np.random.default_rng([seed, 9]).standard_normal(SHAPE)]

    def noise(rng):
        e = rng.standard_normal(SHAPE)
        e[1:] = last[0][:-1]
        last[0] = e
        return e

    return noise


# What takes the place of the standard normal noise: a function of the seed, or the noise itself.
FAULTS = {
    "variance 2 % too large": lambda rng: math.sqrt(1.02) * rng.standard_normal(SHAPE),
    "mean off by 0.02 standard deviations": lambda rng: 0.02 + rng.standard_normal(SHAPE),
    "second half of the batch reuses the noise": _half,
    "coordinates 3 and 777 share noise": _pair,
    "one radius for each row": _radius,
    "clipped at 3": lambda rng: np.clip(rng.standard_normal(SHAPE), -3, 3),
    "sum of 12 uniforms": lambda rng: rng.random((12, *SHAPE)).sum(0) - 6,
    "Student's t, 10 degrees of freedom": lambda rng: rng.standard_t(10, SHAPE) * math.sqrt(0.8),
    "uniform": lambda rng: (rng.random(SHAPE) - 0.5) * math.sqrt(12),
    "one draw for each row": lambda rng: np.broadcast_to(rng.standard_normal((SHAPE[0], 1)), SHAPE),
    "one draw for each column": lambda rng: np.broadcast_to(rng.standard_normal((1, SHAPE[1])), SHAPE),
}
STATEFUL = {
    **{f"used again after {lag} draw(s)": _again(lag) for lag in (1, 2, 3, 10, 100)},
    "a pool of 256 draws in turn": _pool("in turn"),
    "a pool of 256 draws, at random": _pool("at random"),
    "each row's noise moves to the next row": _moved,
}


def seen(seeds, draws, first=0, words=("",)):
    """fault with one of these words in its name -> in how many seeds it is seen."""
    every = [*FAULTS, *STATEFUL, "sigma of the next row"]
    counts = {fault: 0 for fault in every if any(word in fault for word in words)}
    for seed in range(first, first + seeds):
        rng = np.random.default_rng([seed, 1])
        mean, std = rng.standard_normal(SHAPE), np.exp(rng.standard_normal(SHAPE))
        kl = 0.5 * (mean**2 + std**2 - 1) - np.log(std)
        for fault in counts:
            noise = STATEFUL[fault](seed) if fault in STATEFUL else FAULTS.get(fault, normal(SHAPE))
            used = np.roll(std, 1, 0) if fault.startswith("sigma") else std
            report = check_sampler(
                lambda rng, mean=mean, used=used, noise=noise: mean + used * noise(rng),
                **{"mean": mean, "std": std, "kl": kl, "seed": seed, "draws": draws},
            )
            counts[fault] += not report
        print(seed, counts, flush=True)
    return counts


def _gaussian(shape, dtype="float64", only=(), mean=None, std=None):
    def make(seed):
        rng = np.random.default_rng([seed, 2])
        m = rng.standard_normal(shape).astype(dtype) if mean is None else np.full(shape, mean, dtype)
        s = np.exp(rng.standard_normal(shape)).astype(dtype) if std is None else np.full(shape, std, dtype)
        wide = m.astype(float), s.astype(float)
        meant = {"mean": m, "std": s, "kl": 0.5 * (wide[0] ** 2 + wide[1] ** 2 - 1) - np.log(wide[1])}
        meant = {key: meant[key] for key in only or meant}
        return lambda rng: m + s * rng.standard_normal(shape, dtype), meant

    return make


def _summed(seed):
    sample, meant = _gaussian((6, 5), only=("kl",))(seed)
    return sample, {"kl": meant["kl"].sum(-1)}


def _covariance(seed):
    rng = np.random.default_rng([seed, 3])
    mean, factor = rng.standard_normal((3, 4)), np.tril(rng.standard_normal((3, 4, 4))) + 2 * np.eye(4)
    cov = factor @ np.swapaxes(factor, 1, 2)
    return lambda rng: mean + (factor @ rng.standard_normal((3, 4, 1)))[..., 0], {"mean": mean, "cov": cov}


def _exponential(seed):
    scale = np.exp(np.random.default_rng([seed, 4]).standard_normal((4, 3)))
    return lambda rng: rng.exponential(scale), {"cdf": lambda z: -np.expm1(-z / scale)}


def _dirichlet(seed):
    # For parameters that are all 1, the k-th of K sticks is Beta(1, K - k).
    return lambda rng: dirichlet_sticks(rng.dirichlet(np.ones(5), 3)), {"cdf": lambda z: 1 - (1 - z) ** [4, 3, 2, 1]}


RIGHT = {
    "1 coordinate": (_gaussian(()), {}),
    "1 coordinate, kl only, standard normal": (_gaussian((), only=("kl",), mean=0, std=1), {}),
    "12 coordinates": (_gaussian((4, 3)), {}),
    "12 coordinates, kl only": (_gaussian((4, 3), only=("kl",)), {}),
    "12 coordinates, kl only, standard normal": (_gaussian((4, 3), only=("kl",), mean=0, std=1), {}),
    "30 coordinates, kl of rows only": (_summed, {}),
    "12 coordinates, float32": (_gaussian((4, 3), "float32"), {}),
    "12 coordinates, float32, mean 3, std 1e-5": (_gaussian((4, 3), "float32", mean=3, std=1e-5), {}),
    "100 coordinates, float32, mean 1000, std 1e-3": (_gaussian((10, 10), "float32", mean=1000, std=1e-3), {}),
    "12 coordinates, 100 draws": (_gaussian((4, 3)), {"draws": 100}),
    "200 coordinates, 100 draws": (_gaussian((10, 20)), {"draws": 100}),
    "cov, 3 rows of 4": (_covariance, {}),
    "cdf, exponential": (_exponential, {}),
    "cdf, sticks of a Dirichlet distribution": (_dirichlet, {}),
    "1,000 coordinates": (_gaussian(SHAPE), {}),
}


def refused(trials, large, draws, level):
    """kind of right sampler -> [refused, of so many]; `large` trials where one takes seconds."""
    rows = {}
    for name, (make, options) in RIGHT.items():
        count = large if name.startswith("1,000") else trials
        found = []
        for seed in range(count):
            sample, meant = make(seed)
            options = {"draws": draws, **options}
            report = check_sampler(sample, **meant, **options, seed=seed, level=level)
            found += report.findings[:1]
        rows[name] = [len(found), count]
        print(name, rows[name], found[:3], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gradcheck.samplers", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="for each fault (default: %(default)s)")
    parser.add_argument("--faults", nargs="+", default=[""], help="words in the names of those to try (default: all)")
    parser.add_argument("--first", type=int, default=0, help="of these seeds, to share the work (default: %(default)s)")
    parser.add_argument("--right", type=int, default=1000, help="right samplers of each kind (default: %(default)s)")
    parser.add_argument("--large", type=int, default=100, help="of 1,000 coordinates (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=4096)
    parser.add_argument("--level", type=float, default=1e-4)
    arguments = parser.parse_args()
    result = {"seen": seen(arguments.seeds, arguments.draws, arguments.first, arguments.faults), "of": arguments.seeds}
    result["refused"] = refused(arguments.right, arguments.large, arguments.draws, arguments.level)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
