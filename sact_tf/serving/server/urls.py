"""Where a model is found."""

import urllib.parse

from sact_tf.errors import UserError


def model_path(name: str) -> str:
    """The path of a model in URLs, `/v1/models/NAME`, with what has a meaning there escaped.

    Raises:
        UserError: no path can have this name.
    """
    try:
        quoted = urllib.parse.quote(name, safe="")
    except UnicodeEncodeError:
        quoted = ""
    if not quoted or "/" in name or name in (".", ".."):
        raise UserError(
            f"--model_name: {name!r} cannot be part of a URL; expected text in Unicode, not empty, "
            "without '/', and neither '.' nor '..'"
        )
    return f"/v1/models/{quoted}"
