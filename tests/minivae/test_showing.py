"""What objects show in a notebook: all that they should say, whatever names are in them, and no tag of those names."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import minivae as mv
from minivae.datasets.dataset import Dataset
from minivae.gradcheck import check_sampler

EVIL = "\"><script>alert(1)</script>&lt;'\x1b\udcff\n"
SHOWN = "\"><script>alert(1)</script>&lt;'\\x1b\\udcff\\n"
TAGS = {"div", "p", "b", "ul", "li", "br", "img", "table", "thead", "tbody", "tr", "th", "td"}
TAGS |= {"svg", "polyline", "circle"}
ATTRIBUTES = {"alt", "style", "src", "width", "height", "points", "fill", "stroke", "cx", "cy", "r"}
X = np.random.default_rng(0).random((40, 12))


class Page(HTMLParser):
    """What stands in HTML, with every tag closed and none that is not ours."""

    def __init__(self, shown):
        super().__init__()
        self.cells, self.text, self.images, self.open, self.curves = [], "", [], [], []
        self.feed(shown._repr_html_().encode().decode())  # it can be written as UTF-8
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert tag in TAGS
        assert {name for name, _ in attributes} <= ATTRIBUTES
        given = dict(attributes)
        if tag == "img":
            kind, _, data = given["src"].partition(",")
            assert kind == "data:image/png;base64"
            self.images.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))
        if tag == "polyline":
            self.curves.append([float(n) for n in re.split("[ ,]", given["points"])])
        if tag in ("td", "th", "li", "b"):
            self.cells.append("")
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.cells:
            self.cells[-1] += data


def test_a_model_shows_its_layers_shapes_and_parameters():
    model = mv.VAE(784, 20, (400, 30), "tanh", backend="numpy", likelihood="gaussian", learn_sigma="features")
    cells = Page(model).cells
    assert cells[0] == "VAE: 784 features, 20 latents, 655,468 parameters, float32, backend numpy"
    place = cells.index("encoder.1")
    assert cells[place : place + 3] == ["encoder.1", "Dense, tanh", "400 → 30"]
    assert cells[place + 3 : place + 5] == ["encoder.1.weight (400, 30)encoder.1.bias (30,)", "12,030"]
    place = cells.index("output")
    assert cells[place + 2 : place + 5] == [
        "400 → 784",
        "likelihood.weight (400, 784)likelihood.bias (784,)",
        f"{401 * 784:,}",
    ]
    place = cells.index("likelihood")
    assert cells[place + 1 : place + 5] == ["Gaussian", "", "likelihood.log_sigma (784,)", "784"]
    counts = [int(cell.replace(",", "")) for cell in cells[6:] if re.fullmatch(r"[\d,]+", cell)]
    assert sum(counts) == sum(array.size for array in model.parameters.values())


def test_a_history_shows_its_epochs_and_curves():
    history = mv.fit(mv.VAE(12, 2, (5,), backend="numpy"), X, validation=X, epochs=12)
    history["validation_loss"][3:5] = [None, np.nan]
    history["note"] = ["words"] * 12
    page = Page(history)
    assert page.cells[0] == "12 epochs, completed; nats per example"
    assert page.cells[1:11] == ["epoch", "", "1", "3", "4", "6", "7", "9", "10", "12"]
    place = page.cells.index("train_loss")
    assert page.cells[place + 2] == f"{history['train_loss'][0]:.4g}"
    assert page.cells[place + 9] == f"{history['train_loss'][-1]:.4g}"
    assert "kl_per_latent" not in page.text
    assert [len(points) for points in page.curves].count(20) == 1  # two of twelve points are missing
    x, y = np.reshape(page.curves[0], (12, 2)).T
    assert (np.diff(x) > 0).all()
    assert np.corrcoef(-y, history["train_loss"])[0, 1] > 0.99
    assert Page(mv.History()).text == "0 epochs, completed; nats per example"


def test_a_long_history_leaves_the_page_small():
    history = mv.History()
    for epoch in range(5000):
        history.add({"epoch": epoch, "train_loss": 1 / (1 + epoch) + 9.0 * (epoch == 3333)})
    page = Page(history)
    assert len(history._repr_html_()) < 8000
    x, y = np.reshape(page.curves[0], (-1, 2)).T
    assert (np.diff(x) >= 0).all()
    assert y.argmin() / len(y) == pytest.approx(2 / 3, abs=0.02)  # a single peak is still there


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_a_data_set_shows_its_first_images_ranges_and_labels(kind):
    rows = np.arange(12 * 6).reshape(12, 6).astype(kind)
    data = Dataset("stripes", rows, rows[:3], np.arange(12) % 3, None, (2, 3), "by hand")
    page = Page(data)
    (sheet,) = page.images
    assert sheet.shape == (2, 30)
    first = rows[:10].astype(float) * (1 if kind == "uint8" else 255 / 59)
    np.testing.assert_array_equal(sheet, np.rint(np.concatenate(list(first.reshape(10, 2, 3)), axis=1)))
    place = page.cells.index("train")
    assert page.cells[place : place + 7] == ["train", "12", "6", kind, "0", "71", "35.5"]
    assert page.cells[-8:] == ["train labels", "0", "1", "2", "rows", "4", "4", "4"]
    assert "by hand" in page.text


def test_large_images_leave_the_page_small():
    rows = np.random.default_rng(0).integers(0, 256, (3, 300 * 200), dtype="uint8")
    data = Dataset("large", rows, rows, image_shape=(300, 200))
    (sheet,) = Page(data).images
    np.testing.assert_array_equal(sheet, np.concatenate(list(rows.reshape(3, 300, 200)[:, ::3, ::3]), axis=1))
    assert len(data._repr_html_()) < 100_000


def test_a_data_set_that_is_no_images_has_none_and_many_labels_are_not_told_one_by_one():
    data = Dataset("points", X, X, np.arange(40), np.arange(40))
    page = Page(data)
    assert not page.images
    assert "test labels: 40 values, 0 to 39" in page.text


def test_of_a_large_file_the_first_rows_are_looked_at():
    rows = np.zeros((10_001, 3), "float32")
    rows[10_000] = 9
    page = Page(Dataset("large", rows, rows[:5]))
    assert page.cells[page.cells.index("train") :][:7] == ["train", "10,001", "3", "float32", "0", "0", "0"]
    assert "values of the first 10,000 rows" in page.text


def rosenbrock(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def test_a_gradient_report_shows_what_is_wrong_first():
    right = Page(mv.check_gradients(rosenbrock, [-1.2, 1.0], gradient=lambda x: slope(x, 2)))
    assert right.cells[0].startswith("gradients right: rosenbrock (float64")
    assert right.cells[4:7] == ["x (2,)", "", "right"]  # a cell, and in it what is bold
    assert right.cells[7].startswith("2 of 2 coordinates, error ")
    report = mv.check_gradients(rosenbrock, [-1.2, 1.0], gradient=lambda x: slope(x, 1))
    page = Page(report)
    assert '<td style="text-align:left;white-space:nowrap">x (2,)</td>' in report._repr_html_()
    assert page.cells[0].startswith("gradient check failed: rosenbrock (float64")
    assert "wrong" in page.cells
    assert report["x"].diagnosis in page.text
    assert "backward gives -213.4" in page.text
    sampled = check_sampler(lambda rng: rng.standard_normal(5), mean=1.0, std=1.0)
    page = Page(sampled)
    assert page.cells[:2] == ["sampling check failed: " + sampled.name, sampled.findings[0]]
    assert [page.cells.count(what) for what, *_ in sampled.tests] == [1] * len(sampled.tests)


def slope(x, factor):
    return np.array([-400 * x[0] * (x[1] - x[0] ** 2) - factor * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])


def with_evil_names():
    data = Dataset(EVIL, X, X, source=EVIL)
    yield data
    words = Dataset("words", X, X, np.arange(40))
    object.__setattr__(words, "train_labels", np.array([EVIL] * 40))
    yield words
    report = mv.check_gradients(rosenbrock, [-1.2, 1.0], gradient=lambda x: slope(x, 1), name=EVIL)
    report.problems.append(("kind", EVIL))
    report.notes.append(EVIL)
    report.arrays[0].name = report.arrays[0].diagnosis = report.elsewhere = EVIL
    yield report
    sampled = check_sampler(lambda rng: rng.standard_normal(5), mean=0.0, std=1.0)
    sampled.name, sampled.findings, sampled.tests = EVIL, [EVIL], [(EVIL, 1.0, 2.0)]
    yield sampled
    history = mv.History()
    history.add({"epoch": 1, EVIL: 2.0})
    history.stopped = EVIL
    yield history

    named = type("<script>", (), {"activation": EVIL, "parameters": {EVIL: np.ones(12)}})()
    model = mv.VAE(12, 2, (5,), backend="numpy")
    model.parts = lambda: mv.VAE.parts(model) | {"encoder.0": named, EVIL: named}
    yield model


def test_a_name_that_is_html_is_shown_as_text():
    for shown in with_evil_names():
        assert SHOWN in Page(shown).text
