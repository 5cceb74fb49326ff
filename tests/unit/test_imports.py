"""Imports keep to the table at the head of docs/architecture.md: nothing upwards and no circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "workflow/matcg"
LIBRARIES = (
    "huggingface_hub imagehash matplotlib msgspec numpy pandas peft PIL pyarrow safetensors scipy"
    " imagecodecs nibabel pydicom statsmodels tifffile torch torchvision transformers vllm"
)
SLOW = set(LIBRARIES.split())  # to import


def dotted(path: Path) -> str:
    """Return a module's name below the library."""
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


PATHS = {dotted(path): path for path in sorted(LIBRARY.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}
# But for the folders that hold no more than a line on what they are for.
MODULES = [name for name, tree in TREES.items() if len(tree.body) > 1]


def quoted(cell: str) -> list[str]:
    """Return the names between a cell's back quotes."""
    return " ".join(cell.split("`")[1::2]).replace("/", ".").split()


def allowed() -> dict[str, set[str]]:
    """Return what each package or module of the table may import of the library."""
    found: dict[str, set[str]] = {}
    small: set[str] = set()
    everything: set[str] = set()
    for line in (ROOT / "docs/architecture.md").read_text(encoding="utf-8").splitlines():
        cells = line.strip().removeprefix("|").removesuffix("|").split("|")
        if found and not line.startswith("|"):
            break
        if line.startswith("| `"):
            rooms = [name.rstrip(".") for name in quoted(cells[0])]
            small = small or set(rooms)
            for room in rooms:
                found[room] = small | set(rooms) | {n.rstrip(".") for n in quoted(cells[2])}
                everything |= {room} if "everything" in cells[2] else set()
    return found | {room: set(found) for room in everything}


ALLOWED = allowed()


def room(module: str) -> str:
    """Return the row of the table that a module belongs to."""
    found = [name for name in ALLOWED if module == name or module.startswith(f"{name}.")]
    assert found, f"{module} is in no row of the table of docs/architecture.md"
    return max(found, key=len)


def imports(module: str) -> Iterator[tuple[str, int, bool]]:
    """Yield what a module imports, the line, and whether that is inside a function."""
    tree = TREES[module]
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: line {node.lineno}: write the whole name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name, node.lineno, id(node) in inside


def own(name: str) -> str | None:
    """Return the module of the library that a name in an import stands for, if it is one."""
    head, _, rest = name.partition(".")
    if head != "matcg":
        return None
    return rest if rest in TREES else rest.rpartition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_what_its_row_allows(module: str) -> None:
    """No room knows one above it, not for types either."""
    free = ALLOWED[room(module)]
    for name, line, _ in imports(module):
        target = own(name)
        if target:
            assert room(target) in free or target in free, f"line {line} imports {target}"


def slow(name: str) -> bool:
    """Tell whether an import takes long: that of a library, or of a module that imports one."""
    module = own(name)
    if module is None:
        return name.split(".")[0] in SLOW
    return any(slow(each) for each, _, inside in imports(module) if not inside)


@pytest.mark.parametrize("module", MODULES)
def test_only_what_takes_long_is_imported_inside_functions(module: str) -> None:
    """An import inside a function is there to save time, not to hide a circle."""
    for name, line, inside in imports(module):
        assert not inside or slow(name), f"line {line} imports {name}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    """The modules can be put into an order in which each imports only earlier ones."""
    graph = {module: {own(name) for name, *_ in imports(module)} - {None} for module in MODULES}
    assert set(MODULES) <= set(TopologicalSorter(graph).static_order())


def test_the_table_has_every_room_and_no_more() -> None:
    """A row without a module is as wrong as a module without a row."""
    assert {room(module) for module in MODULES} == set(ALLOWED)


def test_no_room_holds_more_than_one_thing() -> None:
    """Modules stay below 400 lines, Snakefiles below 200."""
    rules = [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]
    lines = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for path in [*rules, *PATHS.values()]
    }
    long = {path.name for path, n in lines.items() if n > (200 if path in rules else 400)}
    assert not long
