"""Where the time of a training step goes: each of its calls by itself, on one thread and on all."""

import sys
import time

import numpy as np

from . import harness
from .step import REFERENCE, measure_roof

ROUNDS = 200


def run():
    """Times the calls of the recorded reference step in turn, so that each finds the caches as the step leaves them."""
    sys.path.insert(0, str(harness.HERE / "peers"))
    import minivae_step
    import protocol

    from minivae.kernels.cpu import threads

    program = minivae_step.Step(protocol.as_shape(REFERENCE)).programs[0]
    tables, counts = program.tables(), sorted({1, threads.count()})
    for _ in range(30):
        program()
    whole, found = [], {count: [] for count in counts}
    for _ in range(ROUNDS):
        whole.append(_seconds(program))
        for count in counts:
            # a pass that is not timed: it wakes the threads and leaves in each core's cache what the step leaves there
            for table in tables:
                table.run(count)
            found[count].append([_seconds(lambda table=table, count=count: table.run(count)) for table in tables])
    medians = {count: 1e6 * np.median(found[count], axis=0) for count in counts}
    rows = [
        {
            "call": text,
            "flops": flops(name, arguments),
            "median_us": {str(count): float(medians[count][i]) for count in counts},
        }
        for i, (text, (name, arguments)) in enumerate(zip(str(program).splitlines(), program.calls, strict=True))
    ]
    result = {"machine": harness.machine(), "roof_gflops": measure_roof(), "whole_us": 1e6 * float(np.median(whole))}
    result["rows"] = rows
    harness.write("breakdown", result)
    return result


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def flops(name, arguments):
    """Multiplications and additions of a call's matrix products."""
    if not name.startswith("dense_"):
        return 0
    x, weight = arguments[:2]
    products = 2 if name == "dense_backward" and arguments[5] is not None else 1
    return 2 * products * len(x) * weight.size


def table(result):
    counts = list(result["rows"][0]["median_us"])
    total = sum(row["median_us"][counts[-1]] for row in result["rows"])
    times = (f"us, {count} thread{'s' * (count != '1')}" for count in counts)
    yield "| " + " | ".join(["call", *times, "ratio", "GFLOP/s", "share of the step"]) + " |"
    yield "| --- |" + " --: |" * (len(counts) + 3)
    for row in result["rows"]:
        times = [row["median_us"][count] for count in counts]
        speed = f"{1e-3 * row['flops'] / times[-1]:.0f}" if row["flops"] else ""
        cells = [*(f"{t:.0f}" for t in times), f"{times[0] / times[-1]:.2f}", speed, f"{100 * times[-1] / total:.0f} %"]
        yield f"| `{row['call']}` | " + " | ".join(cells) + " |"
    sums = [sum(row["median_us"][count] for row in result["rows"]) for count in counts]
    flops_of_step = sum(row["flops"] for row in result["rows"])
    roofs = ", ".join(f"{result['roof_gflops'][count]:.0f} GFLOP/s on {count}" for count in counts)
    yield ""
    yield (
        f"All calls: {', '.join(f'{t:.0f} us on {count}' for t, count in zip(sums, counts, strict=True))}; the step as "
        f"one program {result['whole_us']:.0f} us, {1e-3 * flops_of_step / result['whole_us']:.0f} GFLOP/s. "
        f"Products that were skipped count. Roof in the same run: {roofs}."
    )
