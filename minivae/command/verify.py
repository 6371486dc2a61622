"""`minivae verify`: which files of a run are whole, and what `minivae train --resume` would go on from."""

from pathlib import Path

from .options import say

SUMMARY = "say which files of a run are whole, and what --resume would go on from"


def add(parser):
    parser.add_argument("run", metavar="RUN", help="a folder that minivae train made")


def run(args):
    """0 where every file is whole and the newest checkpoint would be taken, otherwise 1; nothing is written."""
    from ..runs import findings, folder

    path = Path(args.run)
    if not path.is_dir():
        raise ValueError(f"run: {args.run} is no folder, expected one that minivae train made")
    choice = findings.choose(path)
    found = [*choice.checkpoints, *filter(None, [choice.best]), *findings.others(path, choice)]
    for finding in found:
        say(str(finding))
    if choice.refused:
        say(f"resume would refuse: {choice.why}")
    else:
        does = f"take {choice.taken.name}" if choice.taken else "begin again"
        say(f"resume would {does}, because {choice.why}")
    newest = choice.taken and choice.taken.name == folder.CHECKPOINT
    return 0 if newest and not choice.refused and all(finding.whole for finding in found) else 1
