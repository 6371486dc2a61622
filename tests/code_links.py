"""Links from the pages to lines of code. `python -m tests.code_links` writes their numbers anew.

Code: [PATH:LINE](../PATH#LLINE)            directly above  <!-- from PATH -->  and a block of code, which must stand
                                            in the file line for line; LINE is its first
Code: [PATH:LINE `NAME`](../PATH#LLINE)     where the function, class or method NAME is defined; several may stand
                                            on a line

A page in a folder of docs/ has one ../ more.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\[([^\]:\s]+):(\d+)(?: `([\w.]+)`)?\]\(((?:\.\./)+)([^)#\s]+)#L(\d+)\)")
ANY_LINK = re.compile(r"\]\([^)\s]+#L\d+\)")
QUOTE = re.compile(r"<!-- from (\S+) -->")


def definitions(source):
    """(name, line) of every function, class and method; a method's or an inner function's with what it is in."""
    found, nodes = [], [("", ast.parse(source))]
    while nodes:
        prefix, node = nodes.pop()
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                found.append((f"{prefix}{child.name}", child.lineno))
                inner = f"{prefix}{child.name}."
            nodes.append((inner, child))
    return found


def line_of_name(source, name):
    lines = [line for full, line in definitions(source) if full == name or full.endswith(f".{name}")]
    if len(lines) != 1:
        raise ValueError(f"`{name}` is defined {len(lines)} times, expected once: say it as Class.method")
    return lines[0]


def line_of_block(source, block, near):
    """Where the lines of the block stand one after the other; of several places the one nearest to line `near`."""
    lines = source.splitlines()
    places = [i for i in range(1, len(lines) - len(block) + 2) if lines[i - 1 : i - 1 + len(block)] == block]
    if not block or not places:
        raise ValueError(f"no such lines one after the other, beginning with {block[:1]}")
    return min(places, key=lambda place: abs(place - near))


def block_below(lines, i):
    """(path, lines of the block) of the quotation in lines i and following; (None, []) where there is none."""
    quote = QUOTE.fullmatch(lines[i]) if i < len(lines) else None
    if not quote or not lines[i + 1 : i + 2] or not lines[i + 1].startswith("```"):
        return None, []
    end = next((j for j in range(i + 2, len(lines)) if lines[j].startswith("```")), i + 2)
    return quote[1], lines[i + 2 : end]


def renumbered(text, root=ROOT):
    """(the page with the right numbers, what is wrong beyond a number: a list of sentences)."""
    lines, problems = text.splitlines(keepends=True), []
    bare = [line.rstrip("\n") for line in lines]
    for i, line in enumerate(bare):
        where = f"line {i + 1}: "
        if "<!-- from " in line and not (block_below(bare, i)[0] and bare[i - 1].startswith("Code: ")):
            problems.append(f"{where}a quotation needs a line 'Code: [...]' above it and a block below it")
        if len(ANY_LINK.findall(line)) != len(LINK.findall(line)):
            problems.append(f"{where}not a link like [PATH:LINE](../PATH#LLINE) or [PATH:LINE `NAME`](...): {line}")
        quoted, block = block_below(bare, i + 1)
        if quoted and not any(path == quoted and not name for path, _, name, *_ in LINK.findall(line)):
            problems.append(f"{where}no link to {quoted}, which is quoted below")

        def link(match, quoted=quoted, block=block, where=where):
            path, number, name, up, target, _ = match.groups()
            try:
                if path != target:
                    raise ValueError(f"leads to {target}")
                source = (root / path).read_text(encoding="utf-8")
                if name:
                    number = line_of_name(source, name)
                elif path == quoted:
                    number = line_of_block(source, block, int(number))
                else:
                    raise ValueError("neither a name nor a quotation below it")
            except (ValueError, OSError, SyntaxError) as error:
                problems.append(f"{where}{path}: {error}")
            shown = f" `{name}`" if name else ""
            return f"[{path}:{number}{shown}]({up}{target}#L{number})"

        lines[i] = LINK.sub(link, lines[i])
    return "".join(lines), problems


def main(pages):
    wrong = 0
    for page in pages:
        text = page.read_text(encoding="utf-8")
        new, problems = renumbered(text)
        wrong += len(problems)
        for problem in problems:
            print(f"{page.relative_to(ROOT)}: {problem}")
        if new != text:
            page.write_text(new, encoding="utf-8")
            print(f"{page.relative_to(ROOT)}: numbers written anew")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(PAGES))
