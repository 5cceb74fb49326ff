"""What the page carries inside itself: styles, scripts, data, and the policy that admits them."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from matcg.errors import DataError

_FOLDER = Path(__file__).parent
# DataTables with its extensions. PyPI has Tabulator and AG Grid too, in packages for Django, Dash
# and Panel that lag behind or bring those along; itables needs no other package and is well kept.
LIBRARY = ("html/dt_bundle.css", "html/dt_bundle.js")
EXPORT = " as default"


@dataclass(frozen=True, slots=True)
class Embedded:
    """Style sheets and module scripts in their order, and the content security policy for them."""

    styles: tuple[str, ...]
    scripts: tuple[str, ...]

    @property
    def policy(self) -> str:
        """Return a policy that lets these pass, and data URIs as pictures, and nothing else."""
        return (
            f"default-src 'none'; img-src data:; style-src {_digests(self.styles)}; "
            f"script-src {_digests(self.scripts)}; base-uri 'none'; form-action 'none'"
        )


def embedded() -> Embedded:
    """Return the library's and our own style sheet and script.

    Raises:
        DataError: the package of the library is of a form unknown here.
    """
    css, js = (_library(name) for name in LIBRARY)
    own_css, own_js = (
        (_FOLDER / name).read_text(encoding="utf-8") for name in ("report.css", "report.js")
    )
    return Embedded((css, own_css), (_global(js), own_js))


def as_json(data: Any) -> Markup:
    """Return data as JSON that cannot end the script element which it is put into."""
    return htmlsafe_json_dumps(data, separators=(",", ":"), ensure_ascii=False)


def _library(name: str) -> str:
    return files("itables").joinpath(name).read_text(encoding="utf-8")


def _global(module: str) -> str:
    """Return the library's module with what it exports by default as the global `DataTable`.

    A module inside a page cannot be imported by another one there.
    """
    exported = module.rpartition("export{")[2].partition("}")[0].split(",")
    names = [name.removesuffix(EXPORT) for name in exported if name.endswith(EXPORT)]
    if len(names) != 1:
        raise DataError(
            "itables/html/dt_bundle.js: not one default export; install the version of"
            " requirements/cpu.lock"
        )
    # Inside a script these two would change where a browser sees its end. They stand in strings and
    # regular expressions only, where such a backslash means nothing.
    safe = module.replace("<!--", r"<\!--").replace("</script", r"<\/script")
    return f"{safe}\nglobalThis.DataTable = {names[0]};\n"


def _digests(texts: Iterable[str]) -> str:
    return " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in texts
    )
