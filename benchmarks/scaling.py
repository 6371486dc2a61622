"""What training on many ranks costs: a model of its time, its constants, and a simulation of its messages.

    python -m benchmarks.scaling model                              the tables and the picture of docs/scaling.md
    mpiexec -n 2 python -m benchmarks.scaling constants             a, W and A of this machine; Allreduce's bits
    python -m benchmarks.scaling passes                             how many passes larger batches need
    python -m benchmarks.scaling simulate --ranks 512 --shards 512  the schedule of all ranks, played in one process

The model, a step: every rank computes its shards; then the sum of m bytes takes

    2 log2(N) a + (N - 1)/N (2 m/W + m/A)  seconds

for N ranks, messages that take a seconds and W bytes a second, and an addition that makes A bytes a second. m is once
the gradient and once, smaller, the table of losses and flags. The waiting of ranks for the slowest is not in it.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np

import minivae as mv

from .harness import HERE
from .schedule import Folding, gradients, simulate, tree

PAGE, PICTURE = HERE.parent / "docs" / "scaling.md", HERE.parent / "docs" / "images" / "scaling.png"
BEGIN, END = "<!-- model -->", "<!-- /model -->"
GRADIENT = 4 * 652_832  # bytes of 784-400-20-400-784 in float32, padding included
ROWS, DATA, SAMPLES = 128, 60_000, 50
RANKS = tuple(2**k for k in range(1, 10))
COMPUTES = 3.3e-3, 1.9e-3  # seconds of a rank's ELBO step: of the first release, and of now, on two cores
ADDING = 9e9  # A, bytes a second, measured


@dataclass(frozen=True)
class Network:
    name: str
    latency: float  # a, seconds
    bandwidth: float  # W, bytes a second, in each direction at once
    colour: str
    marker: str


NETWORKS = (  # round figures of each kind, taken and not measured
    Network("InfiniBand, 100 Gb/s", 2e-6, 11e9, "#0072b2", "o"),
    Network("Ethernet, 25 Gb/s", 15e-6, 2.8e9, "#009e73", "s"),
    Network("Ethernet, 10 Gb/s", 30e-6, 1.1e9, "#d55e00", "^"),
)


def table_bytes(shards):
    """Of the second exchange: 12 sums a shard and a row of flags, float64."""
    return 8 * 12 * (shards + 1)


def seconds(size, ranks, network, adding):
    """The model's time of a sum of `size` bytes."""
    levels = int(ranks).bit_length() - 1
    return 2 * levels * network.latency + (ranks - 1) / ranks * (2 * size / network.bandwidth + size / adding)


def exchange(ranks, network, adding):
    """Of both sums of a step, with a shard for each rank."""
    return seconds(GRADIENT, ranks, network, adding) + seconds(table_bytes(ranks), ranks, network, adding)


def iwae(compute):
    """Seconds of a rank's IWAE step: the encoder's half of the products once, the decoder's for each sample."""
    return compute * (1 + SAMPLES) / 2


def efficiencies(compute, network, adding):
    """In per cent, for each N of RANKS."""
    return [100 * compute / (compute + exchange(ranks, network, adding)) for ranks in RANKS]


def tables(computes, adding):
    """Lines of Markdown: seconds of both sums, and efficiencies for each time of a rank's ELBO step."""
    heads = " | ".join([f"N = {RANKS[0]}", *map(str, RANKS[1:])])
    lines = []

    def table(title, cells):
        lines.extend([f"| {title} | {heads} |", "| --- |" + " --: |" * len(RANKS)])
        lines.extend(f"| {network.name} | {' | '.join(cells(network))} |" for network in NETWORKS)
        lines.append("")

    table("ms a step in both sums", lambda net: [f"{1e3 * exchange(ranks, net, adding):.2f}" for ranks in RANKS])
    for name, of in (("ELBO", float), (f"IWAE, K = {SAMPLES}", iwae)):
        for compute in map(of, computes):
            title = f"%, {name}, {1e3 * compute:.3g} ms a rank"
            table(title, lambda net, compute=compute: [f"{value:.0f}" for value in efficiencies(compute, net, adding)])
    return lines


def draw(compute, adding, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for network in NETWORKS:
        look = {"color": network.colour, "marker": network.marker, "markersize": 5, "linewidth": 1.6}
        axes.plot(RANKS, efficiencies(iwae(compute), network, adding), **look, linestyle="--", markerfacecolor="white")
        axes.plot(RANKS, efficiencies(compute, network, adding), **look, label=network.name)
    axes.plot([], [], color="black", linewidth=1.6, label="ELBO")
    axes.plot([], [], color="black", linewidth=1.6, linestyle="--", label=f"IWAE, K = {SAMPLES}")
    last = DATA / ROWS
    axes.axvspan(last, 2 * RANKS[-1], color="#999999", alpha=0.25, linewidth=0)
    place = {"textcoords": "offset points", "fontsize": 7.5, "rotation": 90, "ha": "right", "va": "bottom"}
    axes.annotate("all of MNIST", (last, 1), (-3, 0), **place)
    axes.set(xscale="log", xlabel=f"ranks N, {ROWS} rows each", ylabel="efficiency, %", ylim=(0, 103))
    axes.set_xlim(RANKS[0] / 1.2, RANKS[-1] * 1.2)
    axes.set_xticks(RANKS, map(str, RANKS))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    times = f"{1e3 * compute:g} ms a step, with IWAE {1e3 * iwae(compute):.0f} ms"
    axes.set_title(f"Predicted, not measured: each rank computes for {times}", fontsize=10)
    axes.legend(frameon=False, ncols=2, fontsize=8.5, loc="lower left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def write_page(lines):
    text = PAGE.read_text(encoding="utf-8")
    before, _, after = text.partition(BEGIN)[0], *text.partition(END)[1:]
    PAGE.write_text("\n".join([f"{before}{BEGIN}", "", *lines, f"{END}{after}"]), encoding="utf-8")


def constants(repeats=400):
    """Prints a and W between two ranks of a launcher, whose messages cross each other as in training, and A; of any
    number of ranks, in how many places the MPI's own sum of random gradients has other bits than the tree.
    """
    from minivae.training.team import MPITeam

    team = MPITeam()
    times = {}
    for size in (8, GRADIENT // 8, GRADIENT // 2, GRADIENT):
        here, there = np.ones(size, np.uint8), np.empty(size, np.uint8)
        taken = []
        for _ in range(repeats if team.size == 2 else 0):
            team.comm.Barrier()
            begun = time.perf_counter()
            team.comm.Sendrecv(here, 1 - team.rank, recvbuf=there, source=1 - team.rank)
            taken.append(time.perf_counter() - begun)
        if taken:
            times[size] = np.quantile(taken, [0.05, 0.5])
    arrays, taken = np.ones((2, 64, GRADIENT // 8), np.float32), []
    for i in range(repeats):  # not the same arrays each time, as the gradients of a step were not the last written
        total, part = arrays[:, i % 64]
        begun = time.perf_counter()
        np.add(total, part, out=total)
        taken.append(time.perf_counter() - begun)
    leaves = gradients(max(8, team.size), GRADIENT // 4)
    own, expected = Folding(leaves, team.rank, team.size).folded(), tree(leaves)
    summed = np.empty_like(own)
    team.comm.Allreduce(own, summed)
    if team.rank:
        return
    other = np.count_nonzero(summed != expected)
    print(f"Allreduce on {team.size} ranks: {other} of {own.size} sums have other bits ({other / own.size:.0%})")
    for size, (low, middle) in times.items():
        print(f"exchange of {size} bytes: {1e6 * low:.1f}, {1e6 * middle:.1f} us (5 % quantile, median)")
    if times:
        for i, name in enumerate(("5 % quantile", "median")):
            slope = (times[GRADIENT][i] - times[8][i]) / (GRADIENT - 8)
            print(f"{name}: a = {1e6 * times[8][i]:.1f} us, W = {1e-9 / slope:.1f} GB/s")
    else:
        print("a and W need two ranks: mpiexec -n 2 python -m benchmarks.scaling constants")
    low, middle = np.quantile(taken, [0.05, 0.5])
    print(f"A = {1e-9 * total.nbytes / low:.1f}, {1e-9 * total.nbytes / middle:.1f} GB/s (the same)")


def passes(most=40):
    """For N ranks of 128 rows each: passes over MNIST to the held-out loss that one rank has after ten."""
    data, goal = mv.load_dataset("mnist"), None
    for ranks in (1, 4, 8, 32):
        model, rate = mv.VAE(data.train.shape[1], 20, (400,), seed=1), 1e-3 * ranks**0.5
        common = {"validation": data.test, "optimizer": mv.Adam(rate), "seed": 1, "progress": False, "shards": ranks}
        until = {"on_epoch": lambda row, goal=goal: row["validation_loss"] > goal} if goal else {}
        epochs = most if goal else 10
        losses = mv.fit(model, data.train, batch_size=ROWS * ranks, epochs=epochs, **common, **until)["validation_loss"]
        goal = goal or losses[-1]
        tenth, last = losses[min(9, len(losses) - 1)], losses[-1]
        print(f"N = {ranks}, rate {rate:.2g}: {tenth:.2f} after 10 passes, {last:.2f} after {len(losses)}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=["model", "constants", "passes", "simulate"])
    parser.add_argument("--compute", type=float, nargs="+", help="model: ms of a rank's step")
    parser.add_argument("--adding", type=float, help="model: A in GB/s")
    parser.add_argument("--write", action="store_true", help="model: into docs/scaling.md, with the picture")
    parser.add_argument("--ranks", type=int, default=512)
    parser.add_argument("--shards", type=int, default=512)
    parser.add_argument("--size", type=int, default=10_007, help="simulate: floats (%(default)s)")
    arguments = parser.parse_args()
    if arguments.part == "constants":
        constants()
    elif arguments.part == "passes":
        passes()
    elif arguments.part == "simulate":
        for count in (arguments.ranks, arguments.shards):
            if count < 1 or count & count - 1 or arguments.shards % arguments.ranks:
                parser.error(f"got {arguments.ranks} ranks, {arguments.shards} shards: powers of two, ranks <= shards")
        print(*simulate(arguments.ranks, arguments.shards, arguments.size), sep="\n")
    else:
        computes = [1e-3 * compute for compute in arguments.compute or ()] or COMPUTES
        adding = 1e9 * arguments.adding if arguments.adding else ADDING
        lines = tables(computes, adding)
        print(*lines, sep="\n")
        if arguments.write:
            write_page(lines)
            draw(computes[0], adding, PICTURE)


if __name__ == "__main__":
    sys.exit(main())
