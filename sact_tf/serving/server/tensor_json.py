"""TensorFlow Serving's JSON for tensors.

Reference: https://www.tensorflow.org/tfx/serving/api_rest ("Request format", "Encoding binary
values", "JSON mapping").
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from sact_tf.serving.server.errors import bad_request

DEFAULT_SIGNATURE = "serving_default"
_KEYS = {"signature_name", "instances", "inputs"}
_BLANKS = b" \t\n\v\f\r"
_FLOAT32_DIGITS = 9  # enough to tell any two apart


class PredictRequest(NamedTuple):
    """A request's body.

    Attributes:
        signature_name: of the signature to run.
        is_row: whether it came as `instances` (row form), not as `inputs` (column form).
        values: those, as they came.
    """

    signature_name: str
    is_row: bool
    values: Any


def parse_request(body: bytes) -> PredictRequest:
    """Reads the body of a `:predict` request.

    Raises:
        RequestError: it is no JSON, or not of that form.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise bad_request(f"expected a JSON object, received a {type(content).__name__}")
    if unknown := set(content) - _KEYS:
        raise bad_request(f"unknown keys {sorted(unknown)}; there are {sorted(_KEYS)}")
    name = content.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str):
        raise bad_request("expected signature_name to be a string")
    if ("instances" in content) == ("inputs" in content):
        raise bad_request('expected either "instances" or "inputs"')
    is_row = "instances" in content
    return PredictRequest(
        name or DEFAULT_SIGNATURE, is_row, content["instances" if is_row else "inputs"]
    )


def input_tensors(
    request: PredictRequest, specs: Mapping[str, tf.TensorSpec]
) -> dict[str, np.ndarray]:
    """Turns a request's values into arrays.

    Args:
        request: what `parse_request` gave.
        specs: the signature's inputs by name.

    Returns:
        Arrays by input name, all with one first axis, of at least one; bytes as dtype object.

    Raises:
        RequestError: they are no such tensors.
    """
    columns = _columns_of_rows(request.values, specs) if request.is_row else request.values
    if len(specs) == 1 and not (isinstance(columns, dict) and set(columns) == set(specs)):
        if not request.is_row:
            columns = {next(iter(specs)): columns}
    if not isinstance(columns, dict) or set(columns) != set(specs):
        received = sorted(columns) if isinstance(columns, dict) else type(columns).__name__
        raise bad_request(f"expected the inputs {sorted(specs)}, received {received}")
    arrays = {name: _array(columns[name], name, spec) for name, spec in specs.items()}
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise bad_request("expected one or more instances, as many for each input")
    return arrays


def output_json(outputs: Mapping[str, np.ndarray], is_row: bool) -> bytes:
    """The body of the answer.

    Args:
        outputs: arrays by output name, all with one first axis.
        is_row: whether the request came in row form.
    """
    lists = {name: _lists(array, name) for name, array in outputs.items()}
    if not is_row:
        value = next(iter(lists.values())) if len(lists) == 1 else lists
        return json.dumps({"outputs": value}).encode()
    if len(lists) == 1:
        return json.dumps({"predictions": next(iter(lists.values()))}).encode()
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return json.dumps({"predictions": rows}).encode()


def _columns_of_rows(instances, specs):
    if not isinstance(instances, list) or not instances:
        raise bad_request('expected "instances" to be a list of one or more')
    if isinstance(instances[0], dict) and not _is_bytes(instances[0]):
        names = set(instances[0])
        if any(not isinstance(row, dict) or set(row) != names for row in instances):
            raise bad_request("expected the same inputs in every instance")
        return {name: [row[name] for row in instances] for name in names}
    if len(specs) != 1:
        raise bad_request(f"expected every instance to name the inputs {sorted(specs)}")
    return {next(iter(specs)): instances}


def _is_bytes(value):
    return isinstance(value, dict) and set(value) == {"b64"}


def _array(value, name, spec):
    if spec.dtype == tf.string:
        try:
            array = np.array(_strings(value, name), dtype=object)
        except RecursionError:
            raise bad_request(f"input {name!r}: the lists are too deep") from None
    else:
        try:
            array = np.asarray(value)
        except ValueError:
            raise bad_request(f"input {name!r}: the lists are of different lengths") from None
        if array.dtype.kind not in ("fiu" if spec.dtype.is_floating else "iu"):
            raise bad_request(f"input {name!r}: expected numbers of type {spec.dtype.name}")
        with np.errstate(over="ignore"):  # too large for float32 is infinite
            array = array.astype(spec.dtype.as_numpy_dtype)
    if array.ndim < 1 or not spec.shape.is_compatible_with(array.shape):
        raise bad_request(
            f"input {name!r}: expected the shape {_shape_text(spec.shape)}, received "
            f"{_shape_text(array.shape)}"
        )
    return array


def _strings(value, name):
    """Bytes in lists of lists, from strings and {"b64": ...}."""
    if isinstance(value, list):
        return [_strings(part, name) for part in value]
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if _is_bytes(value) and isinstance(value["b64"], str):
        try:
            return _from_base64(value["b64"])
        except (binascii.Error, ValueError):
            raise bad_request(f"input {name!r}: no base64 in a b64 value") from None
    raise bad_request(f'input {name!r}: expected strings, or {{"b64": "..."}} for bytes')


def _from_base64(text):
    """As absl::Base64Unescape, which TensorFlow Serving uses: blanks are skipped, the padding may
    be missing, and `-` and `_` are no letters."""
    letters = text.encode("ascii").translate(None, _BLANKS)
    if not letters.endswith(b"="):
        letters += b"=" * (-len(letters) % 4)
    return base64.b64decode(letters, validate=True)


def _shape_text(shape):
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _lists(array, name):
    """Nested lists of what JSON has."""
    if array.dtype == object:
        flat = [_text(value, name) for value in array.ravel()]
        return np.array(flat, dtype=object).reshape(array.shape).tolist()
    if array.dtype == np.float32:
        array = _short(array)
    return array.tolist()


def _text(value, name):
    if name.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    return value.decode("utf-8", "replace")


def _short(array):
    """float32 as the nearest decimals of nine digits; as float64, 0.1 would take eighteen."""
    array = array.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        digits = _FLOAT32_DIGITS - 1 - np.floor(np.log10(np.abs(array)))
        factor = 10.0**digits
        rounded = np.round(array * factor) / factor
    return np.where(np.isfinite(rounded), rounded, array)
