"""A rank of a job whose last rank fails as it is told, in the middle of a training; prints "now" just before."""

import os
import signal
import sys

import numpy as np

import minivae as mv

kind, team = sys.argv[1], mv.MPITeam()
last = team.rank == team.size - 1


def say(line):
    os.write(1, f"{line}\n".encode())  # in one piece: other ranks write too


class Layer:
    passes = 0

    def forward(self, x):
        self.passes += 1
        if last and self.passes == 60:
            say("now")
            if kind == "raises":
                raise RuntimeError("planted")
            if kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "leaves":
                sys.exit(0)
            if kind == "nan":
                return x * np.nan
            if kind == "terminated":
                os.kill(os.getpid(), signal.SIGTERM)
            if kind == "interrupted":
                os.kill(os.getpid(), signal.SIGINT)
        return x

    def backward(self, dy):
        return dy


def on_epoch(row):
    if kind == "on_epoch" and last:
        say("now")
        raise KeyboardInterrupt
    if kind == "diverges" and last:  # in a training of its own
        say("now")
        raise mv.TrainingDiverged("planted")


x = np.random.default_rng(0).random((128, 5), dtype=np.float32)
vae = mv.VAE(5, 2, (4,), backend="numpy", seed=1, encoder=[Layer()])
if kind == "early" and last:
    say("now")
    raise RuntimeError("planted")
given = {"epochs": 3 if kind == "differs" and last else 2000, "batch_size": 16, "shards": 4, "progress": False}
if kind == "differs" and last:
    say("now")
history = mv.fit(vae, x, team=team, on_epoch=on_epoch, **given)
say(f"rank {team.rank}: {history.stopped}")
