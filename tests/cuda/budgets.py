"""What each kernel uses of a multiprocessor: measured by the pinned toolkit, and the budget that follows from it.

python -m tests.cuda.budgets measures all of them again and prints a new MEASURED.
"""

import tempfile

from .offline import ARCHITECTURES

# label in the catalogue: (the most registers of a thread on sm_80, on sm_90, static shared memory in bytes), each over
# all specialisations
MEASURED = {}
# Registers are allotted to a warp 8 for each thread at a time: up to the next multiple of 8 costs no occupancy.
UNIT = 8


def budget(label, cc):
    """(registers, bytes of shared memory) that no specialisation may exceed."""
    registers, shared = MEASURED[label][ARCHITECTURES.index(cc)], MEASURED[label][-1]
    return -(-registers // UNIT) * UNIT, shared


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
