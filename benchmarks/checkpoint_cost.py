"""What a checkpoint every 100 steps costs, with the default model on MNIST.

    python -m benchmarks.checkpoint_cost [--backend auto] [--rounds 12]

Each round times the same 300 steps without checkpoints and with three of them, in turn and in alternating order; the
cost is the median of the rounds' ratios. The last write is waited for. A final JSON line has the figures, and those of
one write alone.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from minivae import VAE, Adam, fit, load_dataset
from minivae.saver import Saver

ROWS, BATCH = 12_800, 128  # 100 steps in an epoch, each ended by a checkpoint
EPOCHS = 3


def main():
    parser = argparse.ArgumentParser(description="Time training with and without checkpoints.")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--folder", help="where to write (a temporary folder)")
    args = parser.parse_args()
    data = load_dataset("mnist").train[:ROWS]
    model = VAE(data.shape[1], backend=args.backend)
    states = []
    fit(model, data, epochs=1, batch_size=BATCH, optimizer=Adam(), on_checkpoint=states.append)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)

        def train(with_checkpoints):
            started = time.perf_counter()
            with Saver(folder, model, {}, 2) as saver:
                fit(
                    model,
                    data,
                    epochs=EPOCHS,
                    batch_size=BATCH,
                    optimizer=Adam(),
                    on_checkpoint=saver if with_checkpoints else None,
                )
            return time.perf_counter() - started

        times = []
        for number in range(args.rounds):
            order = (False, True) if number % 2 else (True, False)
            pair = {choice: train(choice) for choice in order}
            times.append((pair[False], pair[True]))
        writes = []
        for _ in range(9):
            started = time.perf_counter()
            with Saver(folder, model, {}, 2) as saver:
                saver(states[0])
            writes.append(time.perf_counter() - started)
        size = (folder / "checkpoint.npz").stat().st_size
    ratios = sorted(after / before for before, after in times)
    quartile = len(ratios) // 4
    figures = {
        "backend": model.backend.name,
        "ms_per_step": round(1e3 * statistics.median(before for before, _ in times) / (EPOCHS * ROWS / BATCH), 3),
        "cost_percent": round(100 * (statistics.median(ratios) - 1), 2),
        "cost_percent_quartiles": [round(100 * (ratios[at] - 1), 2) for at in (quartile, -1 - quartile)],
        "write_ms": round(1e3 * statistics.median(writes), 1),
        "megabytes": round(size / 1e6, 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
