"""The site: `sphinx-build -W docs build/site`. Nothing is fetched from anywhere, when it is built or when it is read.

With `-D code_url=https://HOST/OWNER/minivae/blob/main` the names of files outside docs/ are links.
"""

import contextlib
import io
import json
import os
import re
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring, tostring

import ziamath
from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from numpy.typing import ArrayLike
from sphinx.search import SearchEnglish
from sphinx.util.typing import stringify_annotation

import minivae
from minivae.command.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
MINUS = "\N{MINUS SIGN}"
SIGNS = {"~": "\N{TILDE OPERATOR}", "*": "\N{ASTERISK OPERATOR}", "\N{MACRON}": "\N{OVERLINE}"}
EXPLORED, EXCERPTS = "explore.html", "_static/excerpts.js"
STARTS = {"index": "README.md", "zh-CN/index": "README.zh-CN.md"}

project = "minivae"
author = "The minivae authors"
version = release = minivae.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode"]

html_theme = "furo"
html_title = "minivae"
html_static_path = ["static", str(Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf")]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
smartquotes = False  # "relu" is copied as it stands

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_dmath_allow_space = myst_dmath_allow_digits = False
myst_heading_anchors = 4

templates_path = ["templates"]
highlight_language = "none"
default_role = "py:obj"
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
maximum_signature_line_length = 88
add_module_names = False
html_show_copyright = False


def page(app, docname, source):
    """A page as a code host shows it becomes one of the site: README is the first, links are turned."""
    text = source[0]
    if docname in STARTS:
        up = "../" * (docname.count("/") + 1)
        text = re.sub(r"\]\((?!https?:)", f"]({up}", (ROOT / STARTS[docname]).read_text(encoding="utf-8")) + text
    text = re.sub("<!-- live: (.*?), (.*?) -->", rf'<a href="{EXPLORED}#\2">\1</a>', text)
    if docname == "command-line":
        text += "".join(f"\n## minivae {name}\n\n```text\n{usage(name)}```\n" for name in names())
    folder = f"docs/{docname}".rpartition("/")[0]

    def turned(link):
        """A link into docs/ leads to a page of the site, one to another file to the code where that is."""
        target = os.path.normpath(f"{folder}/{link[3]}")
        target = {file: f"docs/{start}.md" for start, file in STARTS.items()}.get(target, target)
        if target.startswith("docs/"):
            return f"{link[1]}({os.path.relpath(target, folder)})"
        return f"{link[1]}({app.config.code_url}/{target})" if app.config.code_url else link[2]

    text = re.sub(r"(\[([^\]\[]*)\])\((\.\./[^)\s]*)\)", turned, text)
    source[0] = re.sub(r"\[[\w/-]+\.md\](?=\([\w./-]+\.md\))", "[]", text)  # a page by its title, not its file


def names():
    return [command.__name__.rpartition(".")[2] for command in COMMANDS]


def usage(name):
    """What `minivae NAME --help` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main([name, "--help"])
    return printed.getvalue()


def docstring(app, what, name, obj, options, lines):
    """Plain text with `names`, sections, "x : what it is" and indented formulas becomes reStructuredText.

    That is rubrics, lists of definitions and literal blocks.
    """
    text = "\n".join(lines)
    if what == "data" or text.startswith("Alias for field number"):  # that of its type, which says nothing here
        text = ""
    raw = text.split("\n")
    text = re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", text)
    text = re.sub(r"(?m)`[^`]+`|^ *\* |[*|\\_]", lambda m: m[0] if len(m[0]) > 1 else f"\\{m[0]}", text)
    text = re.sub(r"(?<![\w/`])docs/([\w-]+)\.md", r":doc:`/\1`", text)
    new, within, section = [], "text", False
    for i, line in enumerate(text.split("\n")):
        after = raw[i + 1] if i + 1 < len(raw) else ""
        field = re.fullmatch(r"([\w*\\][^:.`]{0,60}?) : (.*)", line)
        if re.fullmatch("-{3,}", raw[i]):
            continue
        if re.fullmatch("-{3,}", after):
            new += [f".. rubric:: {line}", ""]
            within, section = "text", True
        elif line.startswith("    "):
            if within == "text" and not raw[i - 1]:
                new += ["::", ""]
                within = "block"
            elif (
                within == "field" and re.match('[A-Z"]', line[4:]) and new[-1].startswith(" ") and len(raw[i - 1]) < 90
            ):
                new.append("")  # a sentence of its own below the type
            new.append(raw[i] if within == "block" else line)
        elif field or (section and line and after.startswith("    ")):
            new += [""] if within == "text" else []
            new += [f"``{field[1]}``".replace("\\", ""), f"    {field[2]}"] if field else [f"``{raw[i]}``"]
            within = "field"
        else:
            new += [""] if line and within == "field" else []
            new.append(line)
            within = "text" if line else within
    lines[:] = new


def signature(app, what, name, obj, options, arguments, returns):
    """`ArrayLike` is called so, and not by all that it is made of."""
    given = arguments and arguments.replace(stringify_annotation(ArrayLike, "smart"), "~numpy.typing.ArrayLike")
    return given, returns


def skipped(app, what, name, obj, skip, options):
    """What a class inherits from another package is described there."""
    return not (getattr(obj, "__module__", None) or "minivae").startswith("minivae") or None


def spaced(row):
    """Mends in MathML what TeX does better: signs, functions, primes, derivatives, | and /, and columns."""
    before = Element("mo")
    for i, element in enumerate(row):
        spaced(element)
        text = element.text or ""
        if element.tag == "mo" and text in ("/", "|", "‖"):
            element.attrib.update({"stretchy": "false", **element.attrib}, lspace="0", rspace="0")
        elif element.tag == "mo" and text in ("∂", "∇", "∞"):
            element.tag = "mi"
            element.set("mathvariant", "normal")
        elif element.tag == "mo" and text.isalpha() and len(text) > 1:  # max
            element.attrib.update(lspace="0.17em", rspace="0")
        elif element.tag == "mo" and text == MINUS and before.tag == "mo" and before.text not in (")", "]", "|"):
            element.set("form", "prefix")
        elif text in SIGNS:
            element.tag, element.text = "mo", SIGNS[text]
        elif element.tag == "mtd":  # right, left, right, left, ... and room between the pairs
            side, room = ("left", 0) if i % 2 else ("right", 2 if i else 0)
            element.set("style", f"text-align: {side}; padding: 0.3em 0 0.3em {room}em")
        elif element.tag in ("msup", "msubsup") and element[-1].text == "\N{PRIME}":  # raised by its font
            base = Element("msub" if len(element) > 2 else "mrow")
            base.extend(element[:-1])
            element[:] = [base, Element("mo", lspace="0", rspace="0")]
            element.tag, element[1].text = "mrow", "\N{PRIME}"
        before = element
    if row.tag not in ("math", "mrow", "mstyle", "mtd"):
        return
    for i, element in reversed([*enumerate(row)]):
        base = element[0] if element.tag in ("msub", "msup", "msubsup") else element
        if base.tag == "mi" and len(base.text or "") > 1:  # log
            for place in (i + 1, i):
                if 0 < place < len(row) and row[place if place > i else i - 1].tag != "mo":
                    row.insert(place, Element("mspace", width="0.17em"))


def formula(display):
    """The visitor that writes a formula as MathML, which browsers draw by themselves; at its end is nothing."""

    def visit(self, node):
        latex = node.astext().replace("{aligned}", "{align*}")  # the converter knows one of the two
        math = fromstring(convert(latex, xmlns="", display=display))
        spaced(math)
        text = tostring(math, encoding="unicode")
        if "\\" in text:
            raise ValueError(f"{node.source}: cannot draw {node.astext()}")
        self.body.append(text)
        raise SkipNode

    return visit, None


class Search(SearchEnglish):
    """Chinese has no spaces: its words are found as pairs of neighbouring characters, in pages as in what is typed, and
    a character by itself.
    """

    pairs = "(H)(?=(H))|(?<=H)H|(H)".replace("H", "[\u4e00-\u9fff]")
    js_splitter_code = f"""function splitQuery(query) {{
  return query.replace(/{pairs}/gu, ' $1$2$3 ').match(/[\\p{{L}}\\p{{N}}_]+/gu) || [];
}}"""

    def split(self, text):
        return super().split(re.sub(self.pairs, r" \1\2\3 ", text)) + re.findall("[\u4e00-\u9fff]", text)


def finished(app, pagename, templatename, context, doctree):
    """No line ends between a formula and the bracket or full stop beside it; a page says what language it is in."""
    beside = r"""([^\s\w<>;]*<math[^>]* display="inline".*?</math>[^\s\w<>&]*)"""
    context["body"] = re.sub(beside, r'<span class="together">\1</span>', context.get("body", ""), flags=re.DOTALL)
    if pagename.startswith("zh-CN/"):
        context["language"] = "zh-CN"
    if pagename == "search":
        load = f'<script src="{EXCERPTS}"><\\/script>'
        app.add_js_file(None, body=f"if (location.protocol === 'file:') document.write('{load}');")


def excerpts(app, exception):
    """The pages for the search to quote where a browser fetches none, since the site is opened from a disk."""
    if app.builder.format == "html" and exception is None:
        pages = {f"./{name}.html": Path(app.outdir, f"{name}.html").read_text("utf-8") for name in app.env.found_docs}
        texts = {
            name: re.search('<article role="main".*</article>', page, re.DOTALL)[0] for name, page in pages.items()
        }
        script = f"const TEXTS = {json.dumps(texts)};\nwindow.fetch = async (page) => new Response(TEXTS[page]);\n"
        Path(app.outdir, EXCERPTS).write_text(script, encoding="utf-8")


def page_of_explorer(app, exception):
    """A page of the explorer with a small model, trained here: explore.html, to which docs/explorer.md leads."""
    if app.builder.format == "html" and exception is None:
        data = minivae.load_dataset("mnist")
        model = minivae.VAE(784, 2, (128,), backend="numpy", seed=1)
        minivae.fit(model, data.train[:20_000], epochs=5, seed=1, progress=False)
        minivae.explore(model, data, name="MNIST, two latents").save(Path(app.outdir, EXPLORED))


def setup(app):
    os.environ.update(COLUMNS="88", NO_COLOR="1")
    app.add_config_value("code_url", "", "env")
    app.add_search_language(Search)
    app.connect("html-page-context", finished)
    app.add_html_math_renderer("mathml", formula("inline"), formula("block"))
    app.connect("build-finished", page_of_explorer)
    app.connect("build-finished", excerpts)
    app.connect("source-read", page)
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", skipped)
