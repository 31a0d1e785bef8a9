"""The page at / of the server: drop an image, see what the network makes of it."""

import functools
import html
import importlib.resources
import string
from collections.abc import Mapping
from typing import Any

from sact_tf.serving.server.urls import model_path

# On each side, of what "imagenet" cuts off for a classifier (`sact_tf.data.preprocessing`).
_MARGIN = 1 / 16


def page(name: str, description: Mapping[str, Any]) -> str:
    """The page as HTML, one file without anything from elsewhere.

    It asks the server for the signature `ponder_map`.

    Args:
        name: of the model.
        description: of the export, see `sact_tf.serving.export`.
    """
    title = f"{name} ({description['kind']})" if "kind" in description else name
    return string.Template(_read("page.html")).substitute(
        title=html.escape(title),
        margin=_MARGIN if _is_cropped(description) else 0,
        predict=html.escape(f"{model_path(name)}:predict"),
        style=_read("page.css"),
        script=_read("page.js"),
    )


def _is_cropped(description):
    preprocessing = description.get("preprocessing")
    name = preprocessing.get("name") if isinstance(preprocessing, dict) else None
    return description.get("kind") == "classifier" and name == "imagenet"


@functools.cache
def _read(name):
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
