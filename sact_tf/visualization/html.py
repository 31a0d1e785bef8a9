"""Self-contained HTML pages: everything embedded, nothing fetched, light and dark."""

import base64
import html
from collections.abc import Mapping, Sequence

from sact_tf.visualization.figures import Picture

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1f2328; --soft: #59636e; --line: #d9dde3;
  --tint: #f5f7f9; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --text: #e3e6ea; --soft: #9aa4af;
  --line: #3b424b; --tint: #1c2127; } }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 60rem; background: var(--page);
  color: var(--text); font: 16px/1.55 "Source Serif 4", Charter, Georgia, "DejaVu Serif", serif; }
h1, h2, th, summary, .numbers dt { font-family: system-ui, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .6rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
p.lead { color: var(--soft); margin: 0 0 1.4rem; }
figure { margin: 1rem 0 1.6rem; }
figure img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .5rem; }
table { border-collapse: collapse; font-size: .92rem; margin: .8rem 0 1.2rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; font-size: .84rem; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .8rem;
  margin: 0; }
.numbers div { background: var(--tint); border-radius: .4rem; padding: .7rem .9rem; }
.numbers dt { color: var(--soft); font-size: .78rem; }
.numbers dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.numbers small { display: block; color: var(--soft); font-size: .78rem; }
pre { background: var(--tint); padding: .8rem 1rem; overflow-x: auto; border-radius: .4rem;
  font-size: .8rem; line-height: 1.45; }
summary { cursor: pointer; }
@media print { body { max-width: none; padding: 0; } figure, table { break-inside: avoid; } }
"""


def page(title: str, lead: str, sections: Mapping[str, Sequence[str]]) -> str:
    """Builds a page.

    Args:
        title: heading, plain text.
        lead: one paragraph under it, plain text.
        sections: heading of each section, and its parts as made by the functions below.

    Returns:
        A whole HTML document.
    """
    body = [f"<h1>{html.escape(title)}</h1>", f'<p class="lead">{html.escape(lead)}</p>']
    for heading, parts in sections.items():
        body += ["<section>", f"<h2>{html.escape(heading)}</h2>", *parts, "</section>"]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
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
