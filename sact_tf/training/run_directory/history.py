"""The numbers of a run over its steps, one JSON object a line."""

import json
import pathlib
from typing import Any

from sact_tf.files import atomic_write_text


class History:
    """`history.jsonl`, which survives stops: a step never stands there twice.

    Args:
        path: the file.
        last_step: step that the run goes on from; what was written after it is dropped. None for
            an evaluation, which drops nothing.
        writes: whether this process is the one that writes.
    """

    def __init__(self, path: pathlib.Path, last_step: int | None, writes: bool = True):
        self._path = path
        self._writes = writes
        records = read_history(path)
        self._written = {(record["kind"], record["step"]) for record in records}
        if last_step is None:
            return
        kept = [record for record in records if record["step"] <= last_step]
        self._written = {(record["kind"], record["step"]) for record in kept}
        if writes:
            atomic_write_text(path, "".join(json.dumps(record) + "\n" for record in kept))

    def has(self, kind: str, step: int) -> bool:
        """Whether there is a record of this kind and step."""
        return (kind, step) in self._written

    def append(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Adds one record; `kind` is `train` or `validation`."""
        self._written.add((kind, step))
        if not self._writes:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")


def read_history(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads all records; a last line that was cut off by a stop is ignored."""
    records: list[dict[str, Any]] = []
    if not path.exists():
        return records
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
