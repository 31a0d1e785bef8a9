"""Names of files and classes in forms that can be shown. Programs work on the names themselves."""

import re
from collections.abc import Iterable

from sact_tf.errors import UserError

_LONE_BYTE = re.compile("[\udc80-\udcff]")


def displayed(text: str) -> str:
    """`text` as valid Unicode, for pages and files that others read.

    What is no character is shown as Python writes it: `\\xff` for a byte of a file name that is no
    UTF-8.
    """
    text = _LONE_BYTE.sub(lambda byte: rf"\x{ord(byte[0]) - 0xDC00:02x}", text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def escaped(character: str) -> str:
    """A character as Python writes it where there is no way to show it: `\\u732b`, `\\t`."""
    return character.encode("unicode_escape").decode("ascii")


def has_line_break(text: str) -> bool:
    """Whether a text has a line break in it, or at its end."""
    return "".join(text.splitlines()) != text


def check_class_names(names: Iterable[str]) -> None:
    """Raises a `UserError` if a name has a line break: files of names have one a line."""
    for name in filter(has_line_break, names):
        raise UserError(f"Expected class names of one line each, received {name!r}")


def one_line(message: object) -> str:
    """A message of several lines in one. Blanks inside a line stay: they may belong to a path."""
    return re.sub(r"\s*[\r\n]\s*", " ", str(message).strip())
