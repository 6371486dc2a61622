"""The house: imports run down its floors and never in a circle, and few files stand in its hall."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the top down. A room is a package of minivae, "model" what lies loose in minivae/. A file may import from its own
# room and from those on lower floors, wherever in the file the import stands.
FLOORS = (
    {"__main__"},
    {"command"},
    {"__init__", "facade"},  # what `import minivae` gives
    {"explorer", "lab", "runs", "selfcheck", "sklearn"},
    {"training", "plotting", "compression"},
    {"evaluation"},
    {"model"},
    {"parameters"},
    {"datasets", "estimators", "gradcheck", "kernels"},
    {"files"},
    {"errors"},
)
DEPTH = {room: depth for depth, floor in enumerate(FLOORS) for room in floor}


def modules(root=ROOT):
    """From the name of each module to its file; kernels/ is minivae.kernels."""
    files = {path: path.relative_to(root).parts for path in root.glob("minivae/**/*.py")}
    files |= {path: ("minivae", *path.relative_to(root).parts) for path in root.glob("kernels/**/*.py")}
    return {".".join(parts).removesuffix(".py").removesuffix(".__init__"): path for path, parts in files.items()}


def imports(name, path, known):
    """The modules among `known` that a file imports anywhere, but for those that only type checkers follow."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found, nodes = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            origin = ".".join([*base, *filter(None, [node.module])])
            names = {f"{origin}.{alias.name}" for alias in node.names}
            found |= {module if module in known else origin for module in names}
    return found & known.keys() - {name}


def room(name):
    parts = [*name.split("."), "__init__"]
    loose = len(parts) == 3 and parts[1] not in DEPTH
    return "model" if loose else parts[1]


def upward(edges):
    return [
        f"{name} imports {target}"
        for name, targets in edges.items()
        for target in sorted(targets)
        if room(name) != room(target) and DEPTH[room(name)] >= DEPTH[room(target)]
    ]


def circle(edges):
    """The names of modules that import each other in a circle, or an empty list."""
    left = dict(edges)
    while ends := [name for name in left if not left[name] & left.keys()]:
        for name in ends:
            del left[name]
    path = [*left][:1]
    while path and path[-1] not in path[:-1]:
        path.append(min(left[path[-1]] & left.keys()))
    return path[path.index(path[-1]) :] if path else []


@pytest.fixture(scope="module")
def edges():
    """From each module to those that it imports."""
    known = modules()
    return {name: imports(name, path, known) for name, path in known.items()}


def test_no_import_runs_up_or_in_a_circle(edges):
    assert len(edges) > 100
    assert upward(edges) == []
    assert circle(edges) == []


def test_an_import_that_runs_up_or_in_a_circle_is_named(edges):
    wrong = edges | {"minivae.layers": edges["minivae.layers"] | {"minivae.runs.config"}}
    assert upward(wrong) == ["minivae.layers imports minivae.runs.config"]
    assert {"minivae.layers", "minivae.runs.config", "minivae.bounds"} <= set(circle(wrong))
    aside = edges | {"minivae.lab.report": edges["minivae.lab.report"] | {"minivae.runs.folder"}}
    assert upward(aside) == ["minivae.lab.report imports minivae.runs.folder"]


def test_every_form_of_an_import_is_seen(tmp_path):
    known = dict.fromkeys(
        ["minivae", "minivae.a", "minivae.a.b", "minivae.c", "minivae.c.d", "minivae.e", "minivae.f", "minivae.g"]
    )
    (tmp_path / "b.py").write_text("""
import minivae.e, numpy
if typing.TYPE_CHECKING:
    from ..f import only_a_type
else:
    import minivae.g
def late():
    from ..c import d
    from .. import c, a as own, __version__
""")
    found = imports("minivae.a.b", tmp_path / "b.py", known)
    assert sorted(found) == ["minivae", "minivae.a", "minivae.c", "minivae.c.d", "minivae.e", "minivae.g"]


def test_the_hall_is_small():
    files = [path.name for path in (ROOT / "minivae").iterdir() if path.is_file()]
    assert len(files) <= 12, files
