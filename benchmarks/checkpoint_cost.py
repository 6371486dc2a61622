"""What checkpoints cost, with the default model on MNIST.

    python -m benchmarks.checkpoint_cost [--backend auto] [--rounds 100]

One training goes on; every second stretch of 50 steps begins with a checkpoint, whose write ends within the stretch.
The cost is the median difference of a stretch with a checkpoint and the one before it, which had none. The first 850
steps are not counted: memory is still taken, and Adam's moments of idle pixels pass the ends of float32. A
final JSON line has the figures, and those of one write alone.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from minivae import VAE, Adam, load_dataset
from minivae.runs.saver import Saver
from minivae.training.epoch import Epoch
from minivae.training.interrupts import Interrupt
from minivae.training.state import History, TrainingState
from minivae.training.step import TrainingStep

BATCH, STRETCH, WARM_UP = 128, 50, 850


class Stretches:
    """Says, in the place of `Due`, when a checkpoint is to be made, and notes the time of each question."""

    def __init__(self, batches):
        self._batches = batches
        self.times = {False: [], True: []}
        self._begun, self._saving = None, False

    def __call__(self, step):
        within = step % self._batches
        if step < WARM_UP or within % STRETCH:
            return False
        now = time.perf_counter()
        if self._begun and self._begun[0] == step - STRETCH:  # no end of an epoch between
            self.times[self._saving].append(now - self._begun[1])
            self._saving = not self._saving
        self._begun = step, now
        return self._saving and within + STRETCH < self._batches

    def reset(self):
        pass


def main():
    parser = argparse.ArgumentParser(description="Time training with and without checkpoints.")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--folder", help="where to write (a temporary folder)")
    args = parser.parse_args()
    data = load_dataset("mnist").train
    model, optimizer = VAE(data.shape[1], backend=args.backend), Adam()
    step = TrainingStep(model, data, BATCH, optimizer, "grey", 0)
    stretches, history = Stretches(step.batches), History()
    total = (args.rounds + 3) * step.batches  # an epoch has more than one round
    with tempfile.TemporaryDirectory(dir=args.folder) as name, Interrupt() as interrupt:
        folder = Path(name)
        with Saver(folder, model, {}, 2) as saver:
            while len(stretches.times[True]) < args.rounds and not interrupt.requested:
                state = TrainingState.capture(step, 0, history)
                epoch = Epoch(step, history.epochs + 1, state, total, stretches, saver, foreign=False)
                epoch.run("epoch", False, interrupt)
                history.add(epoch.row())
        writes, processor = [], []
        for _ in range(9):
            started, used = time.perf_counter(), time.process_time()
            with Saver(folder, model, {}, 2) as saver:
                saver(state)
            writes.append(time.perf_counter() - started)
            processor.append(time.process_time() - used)
        size = (folder / "checkpoint.npz").stat().st_size
    plain = statistics.median(stretches.times[False])
    differences = [after - before for before, after in zip(*stretches.times.values(), strict=False)]
    low, middle, high = statistics.quantiles(differences, n=4)
    figures = {
        "backend": model.backend.name,
        "ms_per_step": round(1e3 * plain / STRETCH, 3),
        "rounds": len(differences),
        "cost_ms": round(1e3 * middle, 1),
        "cost_ms_quartiles": [round(1e3 * low, 1), round(1e3 * high, 1)],
        "percent_of_100_steps": round(100 * middle / (plain / STRETCH * 100), 2),
        "percent_of_an_epoch": round(100 * middle / (plain / STRETCH * step.batches), 2),
        "write_ms": round(1e3 * statistics.median(writes), 1),
        "write_processor_ms": round(1e3 * statistics.median(processor), 1),
        "megabytes": round(size / 1e6, 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
