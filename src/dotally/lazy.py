"""Names that a package passes on from its modules, each imported only when it is asked for."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def passing_on(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's ``__getattr__`` (PEP 562), so that importing one of its names imports one module.

    Args:
        package: Its ``__name__``.
        modules: For each module of the package, by its name within it, the names it defines, separated by spaces.

    Example:
        ``__getattr__ = passing_on(__name__, {"counter": "Counted Counter"})``
    """
    home = {name: f"{package}.{module}" for module, names in modules.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home[name]), name)

    return get
