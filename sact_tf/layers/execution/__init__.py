"""How the units of a block run under a halting policy.

`execute` chooses: `masked` computes everything and masks, `tiled` (SACT, on `rows` or in `windows`)
and `tiled_images` (ACT) compute what is active, `auto` changes over from dense units to rows or
windows.
"""

from sact_tf.layers.execution.execute import EXECUTIONS, execute
from sact_tf.layers.execution.interface import BlockResult, Entry

__all__ = ["EXECUTIONS", "BlockResult", "Entry", "execute"]
