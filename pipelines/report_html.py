"""Reports as one HTML file that needs nothing else: no script, no font, no picture from elsewhere.

Everything that is put into a template is escaped (Jinja's autoescape) and rid of control characters, since file
names, speech and screen texts come from whoever made the videos. Only charts, which are drawn here, are markup.
"""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.printable import printable
from transforms.errors import MissingPackage, UsageError

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
_EXTRA = "an HTML report needs {}, which is not installed: pip install 'reelvec[report]'"


def check_writable(path: Path) -> None:
    """Raise before any work is done: MissingPackage without the extra, UsageError where no file can be made."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingPackage(_EXTRA.format(error.name)) from error
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"the report cannot be written to {path}: name a file in a folder that exists")


def page(template: str, **values: Any) -> str:
    """The template of that name, filled in."""
    return _environment().get_template(template).render(**values)


def write_page(path: Path, text: str) -> None:
    """Write the report whole or not at all."""
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.absolute().parent, delete=False) as file:
            file.write(text)
        Path(file.name).chmod(0o644)
        os.replace(file.name, path)
    except OSError as error:
        raise UsageError(f"the report cannot be written to {path}: {error.strerror}") from error


def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = _share
    environment.filters["interval"] = _interval
    environment.filters["rank"] = _rank
    return environment


def _shown(value: Any) -> Any:
    """What a template's {{ value }} shows: nothing for None; markup as it is; text without control characters."""
    if value is None:
        return "-"
    return printable(value) if type(value) is str else value


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(pair: tuple[float, float] | None) -> str:
    return "" if pair is None else " to ".join(map(_share, pair))


def _rank(value: float | None) -> str:
    """A rank; None lies beyond what was looked at."""
    return "beyond" if value is None else f"{value:g}"
