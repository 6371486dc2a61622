"""`minivae encode`: the posterior means of data, as a table or an array that other programs read."""

import csv
import io

import numpy as np

from ..files.atomic import replacing
from ..kernels.naive import PIXELS
from . import options
from .options import say

SUMMARY = "write the latents of data: posterior means, and sigmas on request"


def add(parser):
    options.add_run(parser)
    parser.set_defaults(seed=None)
    options.add_data(parser, "a file or a data set's name with as many features, all rows of it (the run's data)")
    parser.add_argument("--sigmas", action="store_true", help="also the posterior's standard deviations")
    parser.add_argument("--pixels", choices=PIXELS, help="grey, threshold or dynamic (as in training)")
    kinds = "a .csv or .parquet table with ids and labels, or a .npy array (RUN/latents.csv)"
    parser.add_argument("-o", "--out", metavar="FILE", help=kinds)


def run(args):
    from ..datasets.frames import require
    from ..runs import folder, reopening

    path = options.result_path(args, folder.LATENTS, (".csv", ".npy", ".parquet"))
    pyarrow = require("pyarrow.parquet") and require("pyarrow") if path.suffix == ".parquet" else None
    options.expect_result(path, args)
    config, model, rows = reopening.open_all_rows(*options.asked(args))
    pixels = args.pixels or config.training.pixels
    if args.seed is not None and pixels != "dynamic":
        raise ValueError(f"--seed: got {args.seed}, expected --pixels dynamic with it, or a run of such")
    values = rows.values if pixels == "grey" else folder.unit_values(rows.values, pixels, args.seed or 0)
    mu, sigma = model.encode(values)
    if path.suffix == ".npy":
        options.save_array(path, np.concatenate([mu, sigma], axis=1) if args.sigmas else mu)
    else:
        columns = _columns(rows, mu, sigma if args.sigmas else None)
        with replacing(path) as file:
            if pyarrow is None:
                _write_csv(file, columns)
            else:
                pyarrow.parquet.write_table(pyarrow.table(columns), file)
    what = "means and sigmas" if args.sigmas else "means"
    say(f"{len(mu):,} rows of {rows.name}, {what} of {model.latent} latents in {path}")


def _columns(rows, mu, sigma):
    """By name: `row`, from 0 in the order of the data, `part` and `label` where there are such, and each latent."""
    labels = rows.labels if rows.labels is None or rows.classes is None else np.array(rows.classes, object)[rows.labels]
    columns = {"row": np.arange(len(mu))}
    columns |= {name: array for name, array in (("part", rows.parts), ("label", labels)) if array is not None}
    for name, array in (("mu", mu), ("sigma", sigma)):
        columns |= {} if array is None else {f"{name}_{j}": array[:, j] for j in range(array.shape[1])}
    return columns


def _write_csv(file, columns):
    """Numbers with as many digits as tell their floats apart."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    digits = {np.dtype("float32"): "{:.9g}", np.dtype("float64"): "{:.17g}"}
    printed = [map(digits.get(array.dtype, "{}").format, array.tolist()) for array in columns.values()]
    writer.writerows(zip(*printed, strict=True))
    text.detach()
