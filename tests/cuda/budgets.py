"""What each kernel uses of a multiprocessor: measured by the pinned toolkit, and the budget that follows from it.

python -m tests.cuda.budgets measures all of them again and prints a new MEASURED.
"""

import tempfile

from .offline import ARCHITECTURES

# label in the catalogue: (the most registers of a thread on sm_80, on sm_90, static shared memory in bytes), each over
# all specialisations
MEASURED = {
    "accumulate_batch float32": (30, 30, 36),
    "accumulate_batch float64": (30, 30, 36),
    "adagrad_update float32": (29, 32, 0),
    "adagrad_update float64": (40, 42, 0),
    "adam_update float32": (35, 34, 32),
    "adam_update float64": (40, 40, 24),
    "bernoulli_nll float32": (84, 84, 52),
    "bernoulli_nll float64": (70, 64, 32),
    "beta_binomial_nll float32": (97, 100, 52),
    "beta_binomial_nll float64": (162, 162, 32),
    "dense_backward float32": (80, 80, 17412),
    "dense_backward float32, bf16": (83, 80, 17412),
    "dense_backward float32, large tile": (128, 128, 16900),
    "dense_backward float32, large tile, bf16": (128, 128, 16900),
    "dense_backward float64": (128, 128, 34820),
    "dense_forward float32": (72, 72, 17412),
    "dense_forward float32, bf16": (80, 80, 17412),
    "dense_forward float32, large tile": (128, 127, 16900),
    "dense_forward float32, large tile, bf16": (126, 127, 16900),
    "dense_forward float64": (124, 128, 34820),
    "free_bits_latents float32": (61, 49, 32),
    "free_bits_latents float64": (59, 49, 32),
    "free_bits_loss float32": (67, 48, 0),
    "free_bits_loss float64": (56, 42, 0),
    "gather float32": (38, 53, 0),
    "gather float64": (40, 52, 0),
    "gather_and_normal float32": (34, 52, 0),
    "gaussian_each float32": (112, 80, 52),
    "gaussian_each float64": (64, 92, 32),
    "gaussian_nll float32": (94, 80, 52),
    "gaussian_nll float64": (96, 72, 68),
    "gaussian_slopes float32": (42, 46, 0),
    "gaussian_slopes float64": (44, 46, 0),
    "importance_gradient float32": (36, 40, 0),
    "importance_gradient float64": (44, 42, 0),
    "importance_weights float32": (147, 138, 0),
    "importance_weights float64": (128, 122, 0),
    "log_sigma_backward float32": (32, 34, 0),
    "log_sigma_backward float64": (42, 40, 0),
    "log_weights float32": (47, 56, 0),
    "log_weights float64": (46, 40, 0),
    "logistic_nll float32": (63, 66, 52),
    "logistic_nll float64": (80, 80, 32),
    "norm float32": (27, 27, 36),
    "norm float64": (26, 26, 36),
    "posterior_backward float32": (39, 52, 0),
    "posterior_backward float64": (50, 54, 0),
    "posterior_forward float32": (38, 38, 0),
    "posterior_forward float64": (44, 44, 0),
    "scale float32": (22, 28, 0),
    "scale float64": (24, 30, 0),
    "sgd_update float32": (28, 32, 0),
    "sgd_update float64": (28, 30, 0),
    "standard_normal float32": (31, 32, 0),
    "standard_normal float64": (32, 32, 0),
    "tick_clock float32": (8, 8, 0),
}
UNMEASURED = (40, 40, 64)  # what an elementwise kernel may use before it has a line above
# Registers are allotted to a warp 8 for each thread at a time: up to the next multiple of 8 costs no occupancy.
UNIT = 8


def budget(label, cc):
    """(registers, bytes of shared memory) that no specialisation may exceed."""
    *registers, shared = MEASURED.get(label, UNMEASURED)
    return -(-registers[ARCHITECTURES.index(cc)] // UNIT) * UNIT, shared


def measure(builds):
    """MEASURED, of these builds."""
    found = {}
    for one in builds:
        reports = [one.reports[cc] for cc in ARCHITECTURES]
        numbers = *(report.registers for report in reports), max(report.shared for report in reports)
        found[one.label] = tuple(map(max, numbers, found.get(one.label, numbers)))
    return found


def main():
    from .build import Builds

    with tempfile.TemporaryDirectory() as folder:
        builds = Builds(folder)
        for label, numbers in sorted(measure(builds).items()):
            print(f'    "{label}": {numbers},')
        builds.close()


if __name__ == "__main__":
    main()
