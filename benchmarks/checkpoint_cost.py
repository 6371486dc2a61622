"""What a checkpoint every 100 steps costs, with the default model on MNIST.

    python -m benchmarks.checkpoint_cost [--backend auto] [--rounds 6]

Each round times one epoch of 469 steps without checkpoints and with four, after steps 100, 200, 300 and 400, in
alternating order; all writes end within the epoch. The cost is the median of the rounds' differences, for 100 steps. A
final JSON line has the figures, and those of one write alone.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from minivae import VAE, Adam, fit, load_dataset
from minivae.saver import Saver

BATCH, EVERY = 128, 100


def main():
    parser = argparse.ArgumentParser(description="Time training with and without checkpoints.")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--folder", help="where to write (a temporary folder)")
    args = parser.parse_args()
    data = load_dataset("mnist").train
    model = VAE(data.shape[1], backend=args.backend)
    states = []
    fit(model, data, epochs=1, batch_size=BATCH, optimizer=Adam(), on_checkpoint=states.append)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)

        def train(checkpoints):
            with Saver(folder, model, {}, 2) as saver:
                started = time.perf_counter()
                fit(
                    model,
                    data,
                    epochs=1,
                    batch_size=BATCH,
                    optimizer=Adam(),
                    on_checkpoint=lambda state: saver(state) if state.step % EVERY == 0 else None,
                    checkpoint_steps=EVERY if checkpoints else None,
                )
                return time.perf_counter() - started

        times = []
        for number in range(args.rounds):
            order = (False, True) if number % 2 else (True, False)
            pair = {choice: train(choice) for choice in order}
            times.append((pair[False], pair[True]))
        writes, processor = [], []
        for _ in range(9):
            started, used = time.perf_counter(), time.process_time()
            with Saver(folder, model, {}, 2) as saver:
                saver(states[0])
            writes.append(time.perf_counter() - started)
            processor.append(time.process_time() - used)
        size = (folder / "checkpoint.npz").stat().st_size
    plain = statistics.median(before for before, _ in times)
    steps = states[0].step
    saves = steps // EVERY
    costs = sorted(100 * (after - before) / saves / (plain / steps * EVERY) for before, after in times)
    quartile = len(costs) // 4
    figures = {
        "backend": model.backend.name,
        "ms_per_step": round(1e3 * plain / steps, 3),
        "cost_percent": round(statistics.median(costs), 2),
        "cost_percent_quartiles": [round(costs[at], 2) for at in (quartile, -1 - quartile)],
        "write_ms": round(1e3 * statistics.median(writes), 1),
        "write_processor_ms": round(1e3 * statistics.median(processor), 1),
        "megabytes": round(size / 1e6, 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
