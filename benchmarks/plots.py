"""Pictures of the measurements: step time against batch size for all libraries, and a roofline of the kernels."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

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


def step_against_batch(result, path):
    by_batch = sorted(
        (row["shape"]["batch"], row["times"])
        for name, row in result["rows"].items()
        if name == "reference" or name.startswith("batch ")
    )
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    batches = [batch for batch, _ in by_batch]
    for library, (colour, marker) in STYLES.items():
        if library in result["libraries"]:
            times = [1e-3 * rows[library]["median_us"] for _, rows in by_batch]
            axes.plot(batches, times, color=colour, marker=marker, label=library, linewidth=1.6, markersize=5)
    axes.set(xscale="log", yscale="log", xlabel="batch size", ylabel="milliseconds a training step")
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_title("784-400-20-400-784, float32, Adam: medians", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def roofline(result, path):
    """GFLOP/s of the products against operations per byte that must move at least once (each matrix read or written
    once).
    """
    from minivae.kernels.bench import PRODUCTS

    backends = result["backends"]
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    roof = max(value for name, value in backends["cpu"]["roof_gflops"].items() if name.startswith("float32"))
    intensity = {name: 2 * m * n * k / (4 * (m * n + m * k + n * k)) for name, m, n, k, _ in PRODUCTS}
    axes.axhline(roof, color="black", linewidth=1.2)
    axes.annotate(
        f"measured roof {roof:.0f} GFLOP/s",
        (min(intensity.values()), roof),
        (0, 4),
        textcoords="offset points",
        fontsize=8,
    )
    for backend, (colour, marker) in (("cpu", STYLES["minivae cpu"]), ("numpy", STYLES["NumPy"])):
        if backend in backends:
            rows = backends[backend]["rows"]
            x = [intensity[name] for name, *_ in PRODUCTS]
            y = [
                1e-3 * rows[f"{name} float32"]["flops"] / rows[f"{name} float32"]["median_us"] for name, *_ in PRODUCTS
            ]
            label = {"cpu": "minivae cpu", "numpy": "NumPy (OpenBLAS)"}[backend]
            axes.scatter(x, y, color=colour, marker=marker, label=label, zorder=3)
            if backend == "cpu":
                for name, place in zip(intensity, zip(x, y, strict=True), strict=True):
                    axes.annotate(name, place, (5, -9), textcoords="offset points", fontsize=7)
    axes.set(xscale="log", xlabel="operations per byte that must move", ylabel="GFLOP/s", ylim=(0, 1.15 * roof))
    axes.set_xticks([10, 20, 50, 100, 200], ["10", "20", "50", "100", "200"])
    axes.minorticks_off()
    axes.set_title("Matrix products of the step, float32", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw():
    images = harness.HERE.parent / "docs" / "images"
    step, kernels = report.load("step"), report.load("kernels")
    if step and sum(name.startswith("batch ") for name in step["rows"]) > 1:
        step_against_batch(step, images / "step-against-batch.png")
    if kernels and "cpu" in kernels["backends"]:
        roofline(kernels, images / "roofline.png")
