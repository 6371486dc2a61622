"""The site: `sphinx-build -W docs build/site`. Nothing is fetched from anywhere, when it is built or when it is read.

`-D code_url=https://HOST/OWNER/minivae/blob/main` makes links of what is plain text without it: the files outside docs/.
"""

import contextlib
import io
import os
import re
from pathlib import Path

import latex2mathml.converter
import ziamath
from docutils.nodes import SkipNode

import minivae
from minivae.command.main import COMMANDS, main

ROOT = Path(__file__).parents[1]

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

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_dmath_allow_space = myst_dmath_allow_digits = False
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a page may begin with a level that its place on a code host asks for

templates_path = ["templates"]
default_role = "py:obj"
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
maximum_signature_line_length = 88


def page(app, docname, source):
    """A page as a code host shows it becomes one of the site: README is the first, --help is shown, links are turned."""
    text = source[0]
    if docname == "index":
        text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](", "](../").replace("](../http", "](http") + text
    if docname == "command-line":
        text += "".join(f"\n## minivae {name}\n\n```text\n{usage(name)}```\n" for name in names())
    source[0] = re.sub(r"(?<!!)\[([^\]\[]*)\]\(\.\./([^)\s]*)\)", lambda link: turned(app, *link.groups()), text)


def turned(app, text, target):
    """A link out of docs/: to a page of the site if it is one, else to the code where that is, else its text."""
    if target.startswith("docs/"):
        return f"[{text}]({target.removeprefix('docs/')})"
    return f"[{text}]({app.config.code_url}/{target})" if app.config.code_url else text


def names():
    return [command.__name__.rpartition(".")[2] for command in COMMANDS]


def usage(name):
    """What `minivae NAME --help` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main([name, "--help"])
    return printed.getvalue()


def docstring(app, what, name, obj, options, lines):
    """Docstrings are plain text with `names`, sections, "x : what it is" and indented formulas, all read as Markdown would.

    Here they become reStructuredText: rubrics, fields and literal blocks.
    """
    text = "\n".join(lines)
    lines[:] = text.split("\n")
    text = re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", text)
    plain = re.sub(r"(?m)`[^`]+`|^ *\* |[*|\\_]", lambda m: m[0] if len(m[0]) > 1 else f"\\{m[0]}", text).split("\n")
    new, within, section = [], "text", False
    for i, (line, raw) in enumerate(zip(plain, lines, strict=True)):
        after = lines[i + 1] if i + 1 < len(lines) else ""
        field = re.fullmatch(r"([\w*\\][^:.`]{0,60}?) : (.*)", line)
        if re.fullmatch("-{3,}", raw):
            continue
        if re.fullmatch("-{3,}", after):
            new += [f".. rubric:: {line}", ""]
            within, section = "text", True
        elif line.startswith("    "):
            if within == "text" and not lines[i - 1]:
                new += ["::", ""]
                within = "block"
            elif within == "field" and line[4].isupper() and new[-1].startswith(":"):
                new.append("")
            new.append(raw if within == "block" else line)
        elif field or (section and line and after.startswith("    ")):
            new += ["" if within == "text" else None, f":{field[1]}: {field[2]}" if field else f":{line}:"]
            within = "field"
        else:
            new += ["" if line and within == "field" else None, line]
            within = "text" if line else within
    lines[:] = [line for line in new if line is not None]


def skipped(app, what, name, obj, skip, options):
    """What a class inherits from another package is described there."""
    return not (getattr(obj, "__module__", None) or "minivae").startswith("minivae") or None


def formula(display):
    """The visitor that writes a formula as MathML, which browsers draw by themselves, and None, as nothing follows it."""

    def visit(self, node):
        mathml = latex2mathml.converter.convert(node.astext(), display=display)
        if "\\" in mathml:
            raise ValueError(f"{node.source}: cannot draw {node.astext()}")
        self.body.append(mathml)
        raise SkipNode

    return visit, None


def setup(app):
    os.environ.update(COLUMNS="100", NO_COLOR="1")
    app.add_config_value("code_url", "", "env")
    app.add_html_math_renderer("mathml", formula("inline"), formula("block"))
    app.connect("source-read", page)
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-skip-member", skipped)
