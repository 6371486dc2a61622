"""Writes the table of planted bugs into docs/gradient-checking.md: `python -m tests.mutants.table`.

Every mutant is judged by every check of its sections and by the three rivals; this takes some minutes.
"""

from pathlib import Path

from minivae.gradcheck.catalog import minivae_parts

from . import MUTANTS
from .judge import rival_verdicts, seen_by
from .rivals import RIVALS

PAGE = Path(__file__).parents[2] / "docs" / "gradient-checking.md"
HEADER = "| mutant | what it breaks | seen by | torch's settings | one coordinate | fresh draw |"
GROUPS = {
    "Dense layer": ("Dense", "dense_forward", "dense_backward"),
    "Sampler": ("Reparameterize", "reparameterize_forward", "reparameterize_backward"),
    "KL and likelihoods": ("GaussianKL", "gaussian_kl_forward", "gaussian_kl_backward", "Bernoulli", "Gaussian",
                           "bernoulli_nll", "gaussian_nll"),
    "Model": ("VAE",),
    "Importance-weighted bounds": ("log_weights", "importance_weights", "importance_gradient", "log_sigma_backward"),
    "Optimizers": ("SGD", "Adam", "AdamW", "sgd_update", "adam_update", "clip_norm"),
    "Data, sums and noise": ("gather", "accumulate", "standard_normal"),
}  # fmt: skip


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
    """(rows, right): for each mutant its group, what sees it and the rivals' verdicts; and those on the right code."""
    right = {mutant.target: None for mutant in MUTANTS.values()}
    for target in right:
        right[target] = rival_verdicts(minivae_parts(), target)
    rows = []
    for name, mutant in MUTANTS.items():
        group = next(title for title, targets in GROUPS.items() if mutant.target in targets)
        rows.append(
            (group, name, mutant, seen_by(mutant), rival_verdicts(mutant.plant(minivae_parts()), mutant.target))
        )
        print(f"{name:32} {', '.join(rows[-1][3])}", flush=True)
    return rows, right


def summary(rows, right):
    """Counts by group."""
    lines = ["| where | planted | seen by the checks | torch's settings | one coordinate | fresh draw |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    total = [0, 0, *[[0, 0] for _ in RIVALS]]
    for group in GROUPS:
        mine = [row for row in rows if row[0] == group]
        seen = sum(bool(row[3]) for row in mine)
        cells = []
        for k, rival in enumerate(RIVALS):
            usable = [row for row in mine if row[4][rival] is not None and not right[row[2].target][rival]]
            caught = sum(row[4][rival] for row in usable)
            total[2 + k][0] += caught
            total[2 + k][1] += len(usable)
            cells.append(f"{caught} of {len(usable)}" if usable else "cannot be applied")
        total[0] += len(mine)
        total[1] += seen
        lines.append(f"| {group} | {len(mine)} | {seen} | " + " | ".join(cells) + " |")
    cells = " | ".join(f"**{caught} of {usable}**" for caught, usable in total[2:])
    lines.append(f"| **all** | **{total[0]}** | **{total[1]}** | {cells} |")
    return "\n".join(lines)


def table(rows, right):
    """One row for each mutant."""
    lines = []
    for group in GROUPS:
        lines += [f"\n### {group}\n", HEADER, "|---|---|---|---|---|---|"]
        for row_group, name, mutant, found, verdicts in rows:
            if row_group == group:
                breaks = mutant.breaks + (f" (seen in: {mutant.seen})" if mutant.seen else "")
                marks = " | ".join(mark(verdicts[rival], right[mutant.target][rival]) for rival in RIVALS)
                lines.append(f"| `{name}` | {breaks} | {', '.join(found) or '**nothing**'} | {marks} |")
    return "\n".join(lines)


def main():
    rows, right = judge_all()
    write("mutant summary", summary(rows, right))
    write("mutant table", table(rows, right))
    survivors = [row[1] for row in rows if not row[3]]
    print(f"{len(rows)} mutants, {len(rows) - len(survivors)} seen, survivors: {survivors}")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
