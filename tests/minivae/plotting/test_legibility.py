"""Whatever a picture is of, what is written in it can be read: nothing lies on anything else, in any script."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from minivae import plotting
from minivae.command.main import main
from minivae.plotting import fonts, history, style


def written(figure):
    """(text, box in pixels) of every text that is seen."""
    if figure.get_layout_engine():
        figure.canvas.draw()
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent()) for text in found]


def overlaps(figure):
    """Pairs of texts that lie on each other, but for what touches by less than a pixel."""
    texts, boxes = zip(*written(figure), strict=True)
    left, bottom, right, top = np.array([box.extents for box in boxes]).T
    across = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    up = np.minimum(top[:, None], top) - np.maximum(bottom[:, None], bottom)
    first, second = np.nonzero(np.triu((across > 1) & (up > 1), 1))
    return [(texts[i], texts[j]) for i, j in zip(first, second, strict=True)]


@pytest.mark.parametrize(
    ("count", "shape", "largest"),
    [
        (1, (28, 28), 100),
        (30, (28, 28), 100),
        (500, (28, 28), 130),
        (130, (28, 28), 1e5),
        (130, (2, 10), 100),
        (100, (12, 1), 1000),
        (30, (64, 200), 1e4),
        (9000, (8, 8), 100),
    ],
)
def test_the_numbers_under_pairs_can_be_read(count, shape, largest):
    rng = np.random.default_rng(0)
    pixels, terms = rng.random((count, shape[0] * shape[1])), rng.uniform(0.5 * largest, largest, (2, count))
    figure = plotting.plot_reconstructions(pixels, pixels, shape, nll=terms[0], kl=terms[1])
    assert overlaps(figure) == []
    assert max(figure.get_size_inches()) * style.DPI < 8000
    said = [text for text, _ in written(figure)]
    numbers = [f"{value:.1f}" for value in terms.ravel()]
    assert set(numbers) <= set(said) or f"{count:,} pairs, too many to write their numbers" in said


def test_labels_on_each_other_would_be_seen(monkeypatch):
    pixels = np.random.default_rng(0).random((500, 784))
    monkeypatch.setattr("minivae.plotting.images.pair_layout", lambda *_: (10, 1, True))
    assert overlaps(plotting.plot_reconstructions(pixels, pixels, (28, 28), nll=100 * pixels[:, 0] + 100))


@pytest.mark.parametrize("rises", [False, True])
def test_notes_do_not_lie_on_curves(rises):
    """Where early epochs are left out of the frame, above and below it."""
    epoch = np.arange(1, 41)
    curve = 25 - 24.9 * np.exp(-(epoch - 1) / 8) * (1 if rises else -1)
    curve[:2] = 400, -300
    table = {"epoch": epoch} | {f"{part}_{term}": curve for part in ("train", "validation") for term in history.TERMS}
    figure = plotting.plot_history(table)
    figure.canvas.draw()
    for axes in figure.axes[:3]:
        (note,) = (text for text in axes.texts if "above the frame" in text.get_text())
        assert "below the frame" in note.get_text()
        box = note.get_window_extent()
        inside = axes.transData.transform(np.stack([epoch, curve], 1)[2:])
        assert not any(box.contains(*point) for point in inside)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=40), st.sampled_from(["samples", "latent"]))
def test_any_name_can_be_drawn(name, picture):
    """Without a warning, which would be an error here: with $ and braces, in any script, of any length."""
    unit = np.full((4, 6), 0.5)
    if picture == "samples":
        figure = plotting.plot_samples(unit, (2, 3), title=f"Samples of {name}", subtitle=name)
    else:
        figure = plotting.plot_latent(unit[:, :2], title=name)
    figure.canvas.draw()


def no_font(monkeypatch):
    """As where no font is installed but matplotlib's own, and nothing was said of it."""
    monkeypatch.setattr(fonts, "_font_with", lambda *_: None)
    monkeypatch.setattr(fonts, "_told", [])


@pytest.fixture
def chinese_font(tmp_path):
    """A font that has 手写数字 and nothing else, installed for a test as the only one besides matplotlib's own."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for corner, point in enumerate([(0, 0), (0, 800), (800, 800), (800, 0)]):
        pen.lineTo(point) if corner else pen.moveTo(point)
    pen.closePath()
    names = [".notdef", *(f"uni{ord(c):04X}" for c in "手写数字")]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"uni{ord(c):04X}" for c in "手写数字"})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Test Hei", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "hei.ttf")
    before = list(fontManager.ttflist)
    fonts._font_with.cache_clear()
    fontManager.addfont(tmp_path / "hei.ttf")
    fontManager.ttflist[:] = [e for e in fontManager.ttflist if e.name in ("DejaVu Sans", "Test Hei")]
    yield
    fontManager.ttflist[:] = before
    fontManager._findfont_cached.cache_clear()
    fonts._font_with.cache_clear()


def test_a_font_that_has_the_characters_draws_them(chinese_font):
    name = "手写数字.npz"
    text, font = fonts.legible(name, "bold")
    assert text == name
    assert font["family"][-1] == "Test Hei"
    figure = plotting.plot_samples(np.full((1, 4), 0.5), (2, 2), title=name)
    assert name in [text for text, _ in written(figure)]


def test_a_name_is_escaped_where_no_font_has_its_characters(monkeypatch):
    no_font(monkeypatch)
    assert fonts.legible("手写 a$b$.npz")[0] == "\\u624b\\u5199 a$b$.npz"
    assert fonts.legible("né\udcff\x1b")[0] == "né\\udcff\\x1b"
    for name in ("手" * 60, "手 " * 60, "MW" * 60, "name " * 60):
        figure = plotting.plot_samples(np.full((1, 4), 0.5), (2, 2), title=name)
        width = figure.get_size_inches()[0] * style.DPI
        assert all(box.x1 <= width for _, box in written(figure))


def test_what_one_font_lacks_another_has(chinese_font, monkeypatch):
    """A font is taken for what it has, and only the rest is escaped."""
    monkeypatch.setattr(fonts, "_told", [])
    text, font = fonts.legible("手无é.npz")
    assert text == "手\\u65e0é.npz"
    assert font["family"][-1] == "Test Hei"
    plotting.plot_samples(np.full((1, 4), 0.5), (2, 2), title="手无").canvas.draw()


def test_a_lacking_font_is_told_of_once(monkeypatch, caplog):
    no_font(monkeypatch)
    fonts.legible("a\x1b\udcff")  # nothing that a font could have
    assert caplog.messages == []
    for name in ("手写.csv", "手写.csv", "数字.csv"):
        fonts.legible(name)
    (message,) = caplog.messages
    assert "no installed font has 手写:" in message


@pytest.mark.parametrize("has_font", [False, True])
def test_every_text_of_a_picture_has_its_characters(has_font, chinese_font, monkeypatch):
    """Not its header alone, and the minus sign too; a character without a font would be a warning, an error here."""
    if not has_font:
        no_font(monkeypatch)
    table = {"epoch": np.arange(1, 3)} | {
        f"{part}_{term}": np.ones(2) for part in ("train", "validation") for term in history.TERMS
    }
    figure = plotting.plot_history(table, loss="手写数字")
    said = [text for text, _ in written(figure)]
    assert any(("手写数字" if has_font else "\\u624b\\u5199\\u6570\\u5b57") in text for text in said), said


def test_a_table_in_chinese(tmp_path, monkeypatch, caplog, capsys):
    """Names of file, folder, columns and classes: pictures name the classes, and one line says what is lacking."""
    no_font(monkeypatch)
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 3 + i / 100},{i % 3 - i / 100},{'甲乙丙'[i % 3]}类" for i in range(60)]
    (tmp_path / "平面点.csv").write_text("\n".join(["横坐标,纵坐标,类别", *rows]), encoding="utf-8")
    seen, new_figure = [], style.new_figure
    monkeypatch.setattr(style, "new_figure", lambda *args, **k: seen.append(args[2:]) or new_figure(*args, **k))
    options = ["--labels=类别", "--backend=numpy", "--epochs=1", "--hidden=4", "--latent=2", "--out=运行"]
    assert main(["train", "--data", "平面点.csv", *options]) == 0
    assert sorted(path.name for path in (tmp_path / "运行").glob("*.png")) == ["curves.png", "latent.png", "points.png"]
    assert sum("Labels: 0 丙类, 1 乙类, 2 甲类" in (subtitle or "") for _, subtitle in seen) == 2
    assert len(caplog.messages) == 1
    assert "warning" not in capsys.readouterr().err.lower()
