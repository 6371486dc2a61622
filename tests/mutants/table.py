"""Writes the table of planted bugs into docs/gradient-checking.md: `python -m tests.mutants.table`.

Every mutant is judged by every check of its sections and by the three rivals; this takes some minutes.
"""

from pathlib import Path

from minivae.selfcheck.catalog import minivae_parts

from . import MUTANTS
from .judge import rival_verdicts, seen_by
from .rivals import RIVALS

PAGE = Path(__file__).parents[2] / "docs" / "gradient-checking.md"
HEADER = "| mutant | what it breaks | seen by | torch's settings | one coordinate | fresh draw |"
RULE = "|---|---|---|---|---|---|"
GROUPS = {
    "dense": "Dense layer",
    "sampler": "Sampler",
    "losses": "KL and likelihoods",
    "model": "Model",
    "objectives": "Importance-weighted bounds",
    "optimizers": "Optimizers",
    "kernels": "Data, sums and noise",
}


def write(marker, text):
    """Puts `text` between the page's markers of this name."""
    page = PAGE.read_text()
    start, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    head, rest = page.split(start)
    PAGE.write_text(f"{head}{start}\n{text}\n{end}{rest.split(end)[1]}")


def mark(seen, refuses_right):
    if seen is None:
        return "."
    return "refuses all" if refuses_right else "seen" if seen else "**passes**"


def judge_all():
    """(rows, right): for each mutant what sees it and the rivals' verdicts; and those on the right code."""
    right = {mutant.target: None for mutant in MUTANTS.values()}
    for target in right:
        right[target] = rival_verdicts(minivae_parts(), target)
    rows = []
    for mutant in MUTANTS.values():
        rows.append((mutant, seen_by(mutant), rival_verdicts(mutant.plant(minivae_parts()), mutant.target)))
        print(f"{mutant.name:32} {', '.join(rows[-1][1])}", flush=True)
    return rows, right


def counts(rows, right):
    """[planted, seen], and for each rival [caught, usable]."""
    result = [[len(rows), sum(bool(found) for _, found, _ in rows)]]
    for rival in RIVALS:
        usable = [row for row in rows if row[2][rival] is not None and not right[row[0].target][rival]]
        result.append([sum(verdicts[rival] for _, _, verdicts in usable), len(usable)])
    return result


def summary(rows, right):
    """Counts by group."""
    lines = ["| where | planted | seen by the checks | torch's settings | one coordinate | fresh draw |", RULE]
    for file, title in GROUPS.items():
        (planted, seen), *rivals = counts([row for row in rows if row[0].file == file], right)
        cells = (f"{caught} of {usable}" if usable else "cannot be applied" for caught, usable in rivals)
        lines.append(f"| {title} | {planted} | {seen} | " + " | ".join(cells) + " |")
    (planted, seen), *rivals = counts(rows, right)
    cells = " | ".join(f"**{caught} of {usable}**" for caught, usable in rivals)
    lines.append(f"| **all** | **{planted}** | **{seen}** | {cells} |")
    return "\n".join(lines)


def table(rows, right):
    """One row for each mutant."""
    lines = []
    for file, title in GROUPS.items():
        lines += [f"\n### {title}\n", HEADER, RULE]
        for mutant, found, verdicts in rows:
            if mutant.file == file:
                breaks = mutant.breaks + (f" (seen in: {mutant.seen})" if mutant.seen else "")
                marks = " | ".join(mark(verdicts[rival], right[mutant.target][rival]) for rival in RIVALS)
                lines.append(f"| `{mutant.name}` | {breaks} | {', '.join(found) or '**nothing**'} | {marks} |")
    return "\n".join(lines)


def main():
    rows, right = judge_all()
    write("mutant summary", summary(rows, right))
    write("mutant table", table(rows, right))
    survivors = [mutant.name for mutant, found, _ in rows if not found]
    print(f"{len(rows)} mutants, {len(rows) - len(survivors)} seen, survivors: {survivors}")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
