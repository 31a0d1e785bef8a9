"""Names of models with a background class."""

import pytest

from sact_tf.checkpoints import with_background
from sact_tf.errors import UserError


def test_background_is_added_where_it_is_missing():
    assert with_background(["tench", "goldfish"], 3) == ["background", "tench", "goldfish"]
    assert with_background(["nothing", "tench", "goldfish"], 3)[0] == "nothing"
    with pytest.raises(UserError, match="expected 3 class names.* received 1"):
        with_background(["tench"], 3)
