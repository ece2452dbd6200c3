"""The code behind a run: which modules decide its result, and a hash of what they mean."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

OURS = ("dotally", "triton_kernels")


def code_hash(modules: Iterable[str]) -> str:
    """Return the SHA-256 of our code that the given modules are or import; comments and layout do not count.

    A name imported from a package is followed to the module that defines it, so a network added to the registry does
    not make every other network's results stale.
    """
    digest = hashlib.sha256()
    for module in sorted(_closure(modules)):
        digest.update(f"{module}\n{_meaning(module)}\n".encode())
    return digest.hexdigest()


def _closure(modules: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found and _path(module) is not None:
            found.add(module)
            waiting += _imports(module)
    return found


@cache
def _imports(module: str) -> list[str]:
    """Return the modules of ours that a module takes names from."""
    return [
        _definer(node.module, alias.name)
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS
        for alias in node.names
    ]


def _definer(module: str, name: str) -> str:
    """Return the module that defines ``name`` of ``module``, following what packages merely pass on."""
    if _path(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    for node in _passed_on(_tree(module)):
        if node.module and any(alias.name == name for alias in node.names):
            return _definer(node.module, name) if node.module.split(".")[0] in OURS else module
    return module


def _passed_on(tree: ast.Module) -> Iterator[ast.ImportFrom]:
    """Yield a module's own imports of names, those for type checkers too: a package imports these when asked."""
    for node in tree.body:
        nodes = [node]
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            nodes = node.body
        yield from (inner for inner in nodes if isinstance(inner, ast.ImportFrom))


@cache
def _path(module: str) -> Path | None:
    """Return a module's source file, found without importing it."""
    head, *rest = module.split(".")
    spec = importlib.util.find_spec(head) if head in OURS else None
    if spec is None or spec.origin is None:
        return None
    stem = Path(spec.origin).parent.joinpath(*rest)
    candidates = [stem / "__init__.py", stem.with_name(f"{stem.name}.py")]
    return next((path for path in candidates if path.is_file()), None)


@cache
def _tree(module: str) -> ast.Module:
    path = _path(module)
    return ast.parse(path.read_text(encoding="utf-8")) if path else ast.Module([], [])


@cache
def _meaning(module: str) -> str:
    """Return a module's syntax tree without docstrings; comments and formatting never enter one."""
    for node in _documented(_tree(module)):
        node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(_tree(module))


def _documented(tree: ast.Module) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            yield node
