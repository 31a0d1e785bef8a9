"""Tables as text, Markdown or CSV."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import tabulate

FORMS = ("text", "markdown", "csv")


def render(lines: Sequence[Sequence[Any]], form: str) -> str:
    """A table without a line break at its end.

    Args:
        lines: the header and the rows, all of one length. The cells are texts; for CSV also
            numbers, which keep all their digits.
        form: `text` (first column to the left, the others to the right), `markdown` or `csv`.
    """
    if form == "csv":
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(lines)
        return buffer.getvalue().removesuffix("\n")
    if form == "markdown":
        return tabulate.tabulate(lines[1:], lines[0], tablefmt="github", disable_numparse=True)
    if form == "text":
        align = ["left", *["right"] * (len(lines[0]) - 1)]
        return tabulate.tabulate(lines, tablefmt="plain", colalign=align, disable_numparse=True)
    raise ValueError(f"expected form to be one of {FORMS}, received {form!r}")
