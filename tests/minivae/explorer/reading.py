"""What the tests of the views do with a page: move its controls, and read its numbers."""

NUMBERS = """(view) => {
  explorer.frame.flush();
  const outputs = document.querySelectorAll(`#view-${view} output[data-name]`);
  return Object.fromEntries([...outputs].map(({ dataset }) => [dataset.name, Number(dataset.value)]));
}"""


def read(page, view):
    """{name: value} of the numbers that a view shows, in full precision, once what was asked for is drawn."""
    return page.evaluate(NUMBERS, view)


def move(page, view, **values):
    """Sets sliders by their labels to values, as a hand would."""
    page.evaluate(
        """([view, values]) => {
          for (const label of document.querySelectorAll(`#view-${view} .slider label`)) {
            if (!(label.textContent in values)) continue;
            label.control.value = values[label.textContent];
            label.control.dispatchEvent(new Event("input"));
            delete values[label.textContent];
          }
          if (Object.keys(values).length) throw new Error(`no sliders ${Object.keys(values)}`);
        }""",
        [view, values],
    )


def choose(page, view, label, value):
    """An option of a list, by its value; Playwright would take another's label for it."""
    select = page.locator(f"#view-{view}").get_by_label(label, exact=True)
    values = select.evaluate("(select) => [...select.options].map((option) => option.value)")
    select.select_option(index=values.index(value))
