"""What is plugged in by being there: modules that are found by their files' names.

A name is known without reading its module, since the rules ask for names at every call. A file
elsewhere is found too, once its folder stands in the package's `__path__`.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from matcg.errors import ConfigError, nearest


def names_in(package: ModuleType, ending: str = "") -> list[str]:
    """Return the names of a package's modules that have an ending, without it, sorted."""
    found = (module.name for module in iter_modules(package.__path__))
    return sorted(name.removesuffix(ending) for name in found if name.endswith(ending))


def load_module(package: ModuleType, name: str, what: str, ending: str = "") -> ModuleType:
    """Return the module that `name` stands for; `what` says in an error what it would be.

    Raises:
        ConfigError: there is none.
    """
    check_name(package, name, what, ending)
    return import_module(f"{package.__name__}.{name}{ending}")


def check_name(package: ModuleType, name: str, what: str, ending: str = "") -> None:
    """Raise ConfigError where no module has a name; it gives the nearest."""
    known = names_in(package, ending)
    if name not in known:
        raise ConfigError(f"no {what} '{name}'.{nearest(name, known)}")
