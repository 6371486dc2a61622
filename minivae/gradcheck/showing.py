"""Reports in a notebook: what is wrong first, then each array or test."""

from ..files import html

COLOURS = {True: html.GOOD, False: html.BAD}


def gradients(report, head, rows) -> str:
    """HTML of a `GradientReport`; `rows` of name and shape, verdict, and lines on what was found."""
    body = [(name, _coloured(verdict), html.lines(said)) for name, verdict, said in rows]
    shown = [html.heading(head, COLOURS[report.passed]), html.bullets([sentence for _, sentence in report.problems])]
    shown += [html.table(("array", "verdict", "found"), body, "l")] if body else []
    return html.block(*shown, html.bullets([*report.notes, *filter(None, [report.elsewhere])]))


def sampling(report, head) -> str:
    """HTML of a `SamplingReport`."""
    rows = [(what, html.number(value), html.number(limit)) for what, value, limit in report.tests]
    tests = [html.table(("test", "statistic", "limit"), rows, "lr")] if rows else []
    return html.block(html.heading(head, COLOURS[report.passed]), html.bullets(report.findings), *tests)


def _coloured(verdict):
    colour = {"right": html.GOOD, "wrong": html.BAD}.get(verdict)
    return html.Markup(f'<b style="color:{colour}">{html.text(verdict)}</b>') if colour else verdict
