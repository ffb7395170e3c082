"""A page that holds everything itself: styles and script inside, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosnake import __version__
from cryosnake.human import human_size, human_time

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = '<meta name="generator" content="cryosnake'  # of our pages: what else has the name is not replaced
_HERE = Path(__file__).parent


def page(template: str, **content: Any) -> str:
    """Return a page made from a template; texts in `content` are escaped."""
    style, script = static_text("page.css"), "\n".join(map(static_text, ("map_viewer.js", "page.js")))
    return templates(_anchor).get_template(template).render(
        **content, style=style, script=script, version=__version__,
        policy=f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'")


def templates(link: Callable[[str], str]) -> Environment:
    """Return the templates of pages; `link` says where a job's name ("Class2D/job007/") leads. Texts are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined,
                        trim_blocks=True, lstrip_blocks=True)
    found.filters |= {"size": human_size, "duration": human_time, "px": _px, "named": _named, "link": link}
    return found


@cache
def static_names() -> frozenset[str]:
    """Return the names of all styles and scripts."""
    return frozenset(path.name for path in (_HERE / "static").iterdir() if path.suffix in (".css", ".js"))


@cache
def static_text(name: str) -> str:
    """Return a style or script of the pages."""
    return (_HERE / "static" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Return the digest by which the policy allows a style or script, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _anchor(name: str) -> str:
    """Return the place of a job in a page that holds all of them."""
    return f"#job{name.rstrip('/').rpartition('/job')[2]}"


def _px(value: float) -> str:
    """Return a length of a drawing without needless digits."""
    return f"{value:.1f}".removesuffix(".0")


def _named(result: Any) -> str:
    """Return a key result in words: "900 particles", "resolution 8.85 Å"."""
    counted = not result.unit and float(result.value).is_integer()
    number = f"{result.value:,.0f}" if counted or abs(result.value) >= 1000 else f"{result.value:.3g}"
    return f"{number} {result.name}" if counted else f"{result.name} {number} {result.unit}".rstrip()
