"""Self-contained HTML pages: everything embedded, nothing fetched, light and dark."""

import base64
import html
import importlib.resources
from collections.abc import Mapping, Sequence

from sact_tf.text import displayed
from sact_tf.visualization.figures import Picture


def page(title: str, lead: str, sections: Mapping[str, Sequence[str]]) -> str:
    """Builds a page.

    Args:
        title: heading, plain text.
        lead: one paragraph under it, plain text.
        sections: heading of each section, and its parts as made by the functions below.

    Returns:
        A whole HTML document.
    """
    style = importlib.resources.files(__package__).joinpath("report.css").read_text("utf-8")
    body = [f"<h1>{html.escape(title)}</h1>", f'<p class="lead">{html.escape(lead)}</p>']
    for heading, parts in sections.items():
        body += ["<section>", f"<h2>{html.escape(heading)}</h2>", *parts, "</section>"]
    return displayed(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def picture(image: Picture, caption: str) -> str:
    """A figure that follows the reader's theme, with its caption in plain text."""
    return (
        "<figure><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="{data_uri(image.dark)}">'
        f'<img src="{data_uri(image.light)}" alt="{html.escape(caption)}">'
        f"</picture><figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def numbers(values: Sequence[tuple[str, str, str]]) -> str:
    """Key figures side by side.

    Args:
        values: (name, value with its unit, remark) of each; the remark may be empty.
    """
    cells = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}"
        + (f"<small>{html.escape(remark)}</small>" if remark else "")
        + "</dd></div>"
        for name, value, remark in values
    )
    return f'<dl class="numbers">{cells}</dl>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain texts; the first column is aligned left, the others right."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def folded_text(summary: str, text: str) -> str:
    """Preformatted text that opens on a click."""
    return (
        f"<details><summary>{html.escape(summary)}</summary>"
        f"<pre>{html.escape(text)}</pre></details>"
    )


def data_uri(png: bytes) -> str:
    """A PNG as a `data:` URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
