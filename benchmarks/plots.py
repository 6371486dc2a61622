"""Pictures of the measurements: step time against batch size for all libraries, and a roofline of the kernels."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from minivae.kernels.bench import PRODUCTS

from . import harness, report

# Okabe and Ito's colours, which the colour-blind can tell apart; a marker for each as well.
STYLES = {
    "minivae cpu": ("#d55e00", "o"),
    "minivae numpy": ("#e69f00", "s"),
    "NumPy": ("#999999", "v"),
    "PyTorch eager": ("#0072b2", "^"),
    "torch.compile": ("#56b4e9", "D"),
    "JAX jit": ("#009e73", "P"),
}
LABEL = {"textcoords": "offset points", "fontsize": 7.5}


def step_against_batch(result, path):
    named = {name: row for name, row in result["rows"].items() if not name.endswith(report.DENSE)}
    rows = [row for name, row in named.items() if name == "reference" or name.startswith("batch ")]
    by_batch = sorted((row["shape"]["batch"], row["times"]) for row in rows)
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    batches = [batch for batch, _ in by_batch]
    for library, (colour, marker) in STYLES.items():
        if library in result["libraries"]:
            times = [1e-3 * rows[library]["median_us"] for _, rows in by_batch]
            axes.plot(batches, times, color=colour, marker=marker, label=library, linewidth=1.6, markersize=5)
    axes.set(xscale="log", yscale="log", xlabel="batch size", ylabel="milliseconds a training step")
    axes.set_xticks(batches, [str(batch) for batch in batches])
    ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50, 100, 200) if axes.get_ylim()[0] < tick < axes.get_ylim()[1]]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    _finish(figure, axes, "784-400-20-400-784, float32, Adam, rows of MNIST: medians", path)


def roofline(result, path):
    """GFLOP/s of the products against operations per byte that must move (each matrix read or written once).

    The slope is the rate at which Adam's pass reads and writes its 28 bytes a parameter, the only limit of memory that
    was measured in the same run.
    """
    backends, threads = result["backends"], result["backends"]["cpu"]["threads"]
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    roof = max(value for name, value in backends["cpu"]["roof_gflops"].items() if name.startswith("float32"))
    adam = backends["cpu"]["rows"]["Adam"]
    bandwidth = 28e-3 * adam["elements"] / adam["median_us"]
    intensity = {name: 2 * m * n * k / (4 * (m * n + m * k + n * k)) for name, m, n, k, _ in PRODUCTS}
    ridge = roof / bandwidth
    axes.plot([0.5, ridge, 500], [0.5 * bandwidth, roof, roof], color="black", linewidth=1.2)
    axes.annotate(f"micro-kernel in cache: {roof:.0f} GFLOP/s", (500, roof), (-4, 5), **LABEL, ha="right")
    axes.annotate(f"Adam's pass: {bandwidth:.0f} GB/s", (1, bandwidth), (8, -4), **LABEL)
    for backend, (colour, marker) in (("cpu", STYLES["minivae cpu"]), ("numpy", STYLES["NumPy"])):
        if backend in backends:
            speeds = {name: _gflops(backends[backend]["rows"][f"{name} float32"]) for name in intensity}
            label = {"cpu": "minivae cpu", "numpy": "NumPy (OpenBLAS)"}[backend]
            axes.scatter(intensity.values(), speeds.values(), color=colour, marker=marker, s=22, label=label, zorder=3)
    # products of the same matrices share a place, and a label under their lowest mark
    for place in sorted(set(intensity.values())):
        names = [name for name in intensity if intensity[name] == place]
        low = min(_gflops(found["rows"][f"{name} float32"]) for name in names for found in backends.values())
        axes.annotate("\n".join(names), (place, low), (0, -8), **LABEL, ha="center", va="top")
    axes.set(xscale="log", yscale="log", xlabel="operations per byte that must move", ylabel="GFLOP/s")
    axes.set(xlim=(0.8, 500), ylim=(15, 1.5 * roof))
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], ["1", "2", "5", "10", "20", "50", "100", "200"])
    axes.set_yticks([20, 50, 100, 200], ["20", "50", "100", "200"])
    _finish(figure, axes, f"Matrix products of the step, float32, {threads} threads", path, loc="lower right")


def _finish(figure, axes, title, path, **legend):
    axes.minorticks_off()
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, **legend)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _gflops(row):
    return 1e-3 * row["flops"] / row["median_us"]


def draw():
    images = harness.HERE.parent / "docs" / "images"
    step, kernels = report.load("step"), report.load("kernels")
    if step and sum(name.startswith("batch ") for name in step["rows"]) > 1:
        step_against_batch(step, images / "step-against-batch.png")
    if kernels and "cpu" in kernels["backends"]:
        roofline(kernels, images / "roofline.png")
