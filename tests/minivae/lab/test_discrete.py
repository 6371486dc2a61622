"""The page on estimators for bits says what the laboratory computes."""

from pathlib import Path

from minivae.lab import discrete_exercises as exercises

PAGE = Path(__file__).parents[3] / "docs" / "discrete-estimators.md"


def test_the_page_gives_the_table_and_the_answers_that_the_laboratory_computes():
    text = PAGE.read_text()
    assert exercises.table() in text
    for number, answer in enumerate(exercises.ANSWERS, 1):
        assert f"{number}. {answer()}" in text, answer.__name__
    assert (PAGE.parent / "images" / "lab-discrete.png").stat().st_size > 10_000


def test_what_is_said_of_the_table_holds():
    """The sentences below it, from its last three columns: variance times evaluations at logits -2, 0, 2."""
    lines = [line.strip("| ").split(" | ") for line in exercises.table().splitlines()[2:]]
    cost = {cells[0]: [float(cell) for cell in cells[-3:]] for cells in lines}
    two, four, eight, sixteen = (cost[f"leave-one-out, K = {k}"] for k in (2, 4, 8, 16))
    rebar = cost["REBAR, best eta"]
    for at in range(3):
        assert cost["score function"][at] > 6 * two[at]
        assert two[at] > four[at] > eight[at] > sixteen[at]
        assert two[at] - four[at] > 2 / 3 * (two[at] - sixteen[at])
        assert four[at] < cost["DisARM"][at] < two[at]
        others = [cells[at] for name, cells in cost.items() if name not in ("with best baseline", "REBAR, best eta")]
        assert (rebar[at] < min(others)) == (at != 1)
    assert eight[1] < rebar[1] < four[1]
