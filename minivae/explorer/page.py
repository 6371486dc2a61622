"""The page: its modules, style and payload as one HTML file that needs nothing else.

Each module of `web/` becomes a function that returns what the module exports, in the order in which they import each
other: browsers load no modules from the disk. What they may say is therefore little: `import { a, b } from "./x.js";`
and `export` before a const, a let, a class or a function. In the page, `explorer.x.a` is what x.js exports as a.

The content security policy names the script and the style by their hashes, so that nothing else in the file can run or
load anything, whatever the run's names and labels are.
"""

import base64
import hashlib
import html
import json
import re
from functools import cache
from importlib import resources
from typing import Any

from ..errors import expect

IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.M)
EXPORT = re.compile(r"^export (?=(?:async )?(?:const|let|class|function\*?) (\w+))", re.M)
NAME = re.compile(r"^export (?:async )?(?:const|let|class|function\*?) (\w+)", re.M)
MAIN = "main"


def _text(name: str) -> str:
    return resources.files(__package__).joinpath("web", name).read_text(encoding="utf-8")


def ordered(main: str = MAIN) -> dict[str, str]:
    """The modules by name, each after those that it imports. ValueError for a circle of imports, or for a name that
    the other module does not export, which would be undefined in the page.
    """
    found: dict[str, str] = {}

    def add(name, above):
        expect(name not in above, "module", " -> ".join((*above, name)), "imports in one direction")
        if name not in found:
            source = _text(f"{name}.js")
            for names, other in IMPORT.findall(source):
                add(other, (*above, name))
                there = NAME.findall(found[other])
                for wanted in re.findall(r"(\w+)(?: as \w+)?", names):
                    expect(wanted in there, f"{name}.js", wanted, f"a name that {other}.js exports")
            found[name] = source

    add(main, ())
    return found


def module(source: str) -> str:
    """The body of a function that returns the exports of a module."""
    body = IMPORT.sub(lambda match: f"const {{{match[1].replace(' as ', ': ')}}} = explorer.{match[2]};\n", source)
    left = re.search(r"^\s*(?:import|export)\b.*", EXPORT.sub("", body), re.M)
    expect(left is None, "module", left and left[0], "imports and exports as page.py has them")
    # Getters, as a module's exports are live: `let` may change after it was exported.
    exports = "".join(f"get {name}() {{ return {name}; }}, " for name in NAME.findall(source))
    return f"{EXPORT.sub('', body)}return {{ {exports}}};"


@cache
def script() -> str:
    """All modules as one script."""
    parts = ['"use strict";\nconst explorer = {};\nglobalThis.explorer = explorer;\n']
    for name, source in ordered().items():
        parts.append(f"// ---- {name}.js\nexplorer.{name} = (() => {{\n{module(source)}\n}})();\n")
    whole = "".join(parts)
    expect("</script" not in whole.lower() and "<!--" not in whole, "module", "the end of a script", "none")
    return whole


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def as_json(value: Any) -> str:
    """JSON that can stand in a script element: no text in it can end the element, or a line of a script."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def render(payload: dict[str, Any]) -> str:
    """The whole file, (HTML as str), from what `payload.py` made."""
    code, style = script(), _text("style.css")
    # Nothing may be fetched: the payload is in the file, pictures are drawn, the icon is the one exception (data:).
    policy = f"default-src 'none'; script-src {_hash(code)}; style-src {_hash(style)}; img-src data:; "
    policy += "base-uri 'none'; form-action 'none'"
    values = {
        "policy": html.escape(policy),
        "title": html.escape(f"minivae: {payload['name']}"),
        "style": style,
        "payload": as_json(payload),
        "script": code,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], _text("page.html"))
