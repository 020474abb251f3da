"""A report as one HTML file that needs nothing else: no network, no font, no library.

Every text is escaped by Jinja2, in SVG as well. Styles and the script lie in the page, and its
Content-Security-Policy allows these two, by their hashes, pictures that are part of the page, and
nothing else: even a text that got through would not run, and nothing can be fetched or sent.
"""

import base64
import functools
import hashlib
import pathlib

import jinja2
import markupsafe

from cropmap_jax.reporting import content, page
from cropmap_jax.reporting.content import Report

_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def render(report: Report) -> str:
    """The page of a report.

    Args:
      report: see `content`.

    Raises:
      ValueError: of another schema.
    """
    content.check(report)
    style, script = (_part(name) for name in ("report.css", "report.js"))
    policy = "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return (
        _environment()
        .get_template("report.html")
        .render(
            page.view(report),
            # These are files of the package, and must not be escaped: their hashes would not fit.
            style=markupsafe.Markup(style),
            script=markupsafe.Markup(script),
            policy=policy,
        )
    )


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _part(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"
