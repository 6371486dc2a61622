"""`minivae lab`: the experiments of the sampling laboratory, and the exam."""

import time
from pathlib import Path

from .. import lab
from . import options
from .options import say

SUMMARY = "measure gradient estimators and bounds against theory; sit an exam on them"
EXAM = "eight gradients to write by hand, graded in words; docs/exam.md"


def add(parser):
    experiments = {**lab.EXPERIMENTS, "exam": EXAM}
    parser.add_argument(
        "experiment", choices=("all", *experiments), help="; ".join(map(": ".join, experiments.items()))
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="with exam: grade this file, exam.py or bug-N.py")
    parser.add_argument("--find-the-bug", action="store_true", help="with exam: a function with one mistake to find")
    parser.add_argument("--out", metavar="DIR", help="where tables, figures and files of the exam go (lab)")
    drawn = f"of the draws of {', '.join(lab.DRAWN)} (0); with --find-the-bug: which bug (the next that DIR lacks)"
    parser.add_argument("--seed", type=options.seed, metavar="N", help=drawn)


def run(args):
    if args.experiment == "exam":
        return _exam(args)
    for name, got in (("FILE", args.file), ("--find-the-bug", args.find_the_bug or None)):
        if got is not None:
            raise ValueError(f"{name}: got {got!r} with {args.experiment}, expected it with exam only")
    if args.seed is not None and args.experiment not in ("all", *lab.DRAWN):
        raise ValueError(f"--seed: got {args.seed}, expected one of {', '.join(lab.DRAWN)} with it")
    folder = Path(args.out or "lab")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out: cannot make {folder}: {error.strerror or error}, expected a folder") from error
    options.expect_output(folder / "table")  # before all that work
    for name in lab.EXPERIMENTS if args.experiment == "all" else (args.experiment,):
        say(f"{name}: {lab.EXPERIMENTS[name]}")
        started = time.perf_counter()
        for line in lab.run(name, folder, args.seed or 0):
            say(f"  {line}")
        say(f"  {time.perf_counter() - started:.1f} s, tables and figures in {folder}")
    return 0


def _exam(args):
    """Writes an exam or a bug, or grades one: then the status is 1 where not all of it passed."""
    from ..lab import exam

    if args.file is not None:
        for name, got in (("--find-the-bug", args.find_the_bug or None), ("--out", args.out), ("--seed", args.seed)):
            if got is not None:
                raise ValueError(f"{name}: got {got!r} with FILE, expected none: {args.file} is to be graded")
        report = exam.grade(args.file)
        for line in str(report).splitlines():
            say(line)
        return 0 if report.passed else 1
    if args.seed is not None and not args.find_the_bug:
        raise ValueError(f"--seed: got {args.seed}, expected --find-the-bug with it")
    folder = "lab" if args.out is None else args.out
    path = exam.write_bug(folder, args.seed) if args.find_the_bug else exam.write(folder)
    task = "mend the one mistake in it" if args.find_the_bug else "fill in its eight functions"
    say(f"{path}: {task}, then: minivae lab exam {path}")
    return 0
