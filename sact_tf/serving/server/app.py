"""TensorFlow Serving's REST interface as a Starlette application.

    GET  /v1/models/NAME[/versions/N]            whether it is there
    GET  /v1/models/NAME[/versions/N]/metadata   signatures, their inputs and outputs
    POST /v1/models/NAME[/versions/N]:predict    row or column form
    GET  /                                       a page to drop an image on
    POST /picture                                an image file as the model gets it, for the page

Reference: https://www.tensorflow.org/tfx/serving/api_rest
"""

import asyncio
import contextlib
import json
import logging

import numpy as np
import tensorflow as tf
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sact_tf.serving.server import tensor_json
from sact_tf.serving.server.batcher import Batcher, Job
from sact_tf.serving.server.errors import RequestError, bad_request, overloaded
from sact_tf.serving.server.image_limits import image_size, image_sizes, plain_images
from sact_tf.serving.server.limits import Limits
from sact_tf.serving.server.page import page
from sact_tf.serving.server.servable import Servable

_LOG = logging.getLogger(__name__)
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src blob: data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class ModelServer:
    """Answers the requests for one model.

    Args:
        name: what clients call the model.
        servable: the model.
        limits: what they may ask for.
        wait_seconds: see `Batcher`.
    """

    def __init__(self, name: str, servable: Servable, limits: Limits, wait_seconds: float = 0.0):
        self._name = name
        self._servable = servable
        self._limits = limits
        self._pending_bytes = 0
        self._picture_lock = asyncio.Lock()
        self.batcher = Batcher(
            self._run,
            batch_size=limits.batch_size,
            batch_pixels=limits.image_pixels,
            pending=limits.pending_images,
            wait_seconds=wait_seconds,
        )

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = []
        for path in ("/v1/models/{name}/versions/{version:int}", "/v1/models/{name}"):
            routes += [
                Route(path + ":predict", self._predict, methods=["POST"]),
                Route(path + "/metadata", self._metadata, methods=["GET"]),
                Route(path, self._status, methods=["GET"]),
            ]
        routes.append(Route("/", self._page, methods=["GET"]))
        routes.append(Route("/picture", self._picture, methods=["POST"]))

        @contextlib.asynccontextmanager
        async def lifespan(_):
            yield
            await run_in_threadpool(self.batcher.close)

        return Starlette(
            routes=routes,
            lifespan=lifespan,
            exception_handlers={
                RequestError: lambda _, error: _error(error.status, str(error)),
                HTTPException: lambda request, error: _error(
                    error.status_code, f"{error.detail}: {request.method} {request.url.path}"
                ),
                Exception: lambda _, error: _error(500, "internal error, see the server's log"),
            },
        )

    async def _page(self, _):
        return HTMLResponse(page(self._name, self._servable.description), headers=_PAGE_HEADERS)

    async def _picture(self, request):
        """The decoded file as PNG: browsers read fewer formats, and turn some differently."""
        reserved = self._reserve(request)
        try:
            data = await self._read(request)
            async with self._picture_lock:  # one at a time: a picture is larger than its file
                await run_in_threadpool(image_size, data, self._limits.image_pixels)
                (plain,) = await run_in_threadpool(plain_images, np.array([data], object))
            return Response(plain, media_type="image/png")
        finally:
            self._pending_bytes -= reserved

    async def _status(self, request):
        self._check_model(request)
        status = {
            "version": str(self._servable.version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return JSONResponse({"model_version_status": [status]})

    async def _metadata(self, request):
        self._check_model(request)
        spec = {
            "name": self._name,
            "signature_name": "",
            "version": str(self._servable.version),
        }
        definitions = {"signature_def": self._servable.metadata}
        return JSONResponse({"model_spec": spec, "metadata": {"signature_def": definitions}})

    async def _predict(self, request):
        self._check_model(request)
        reserved = self._reserve(request)
        try:
            body = await self._read(request)
            return await self._answer(body)
        finally:
            self._pending_bytes -= reserved

    async def _answer(self, body):
        asked = await run_in_threadpool(tensor_json.parse_request, body)
        job = await run_in_threadpool(self._job, asked)
        try:
            outputs = await asyncio.wrap_future(self.batcher.submit(job))
        except tf.errors.InvalidArgumentError as error:
            raise bad_request(_reason(error)) from None
        except tf.errors.ResourceExhaustedError:
            raise RequestError(503, "not enough memory for the request") from None
        content = await run_in_threadpool(tensor_json.output_json, outputs, asked.is_row)
        return Response(content, media_type="application/json")

    def _run(self, signature, inputs):
        # Not before they are computed: what waits in the queue is small as long as it is encoded.
        inputs = {
            name: plain_images(array) if array.dtype == object else array
            for name, array in inputs.items()
        }
        return self._servable.run(signature, inputs)

    def _job(self, asked):
        """Finds everything that can be wrong with a request, before anything is computed."""
        specs = self._servable.inputs.get(asked.signature_name)
        if specs is None:
            raise bad_request(
                f'Serving signature name: "{asked.signature_name}" not found in signature def; '
                f"there are {sorted(self._servable.inputs)}"
            )
        inputs = tensor_json.input_tensors(asked, specs)
        most = self._limits.batch_size
        if len(next(iter(inputs.values()))) > most:
            raise bad_request(f"more than {most} images in one request")
        pixels, key = 0, []
        for name, array in inputs.items():
            if array.dtype == object:
                sizes = image_sizes(array.tolist(), self._limits.image_pixels)
                pixels += sum(height * width for height, width in sizes)
                # Padding one request's images to another's size would cost more than it saves.
                key.append(None if self._servable.input_size else _size_key(sizes))
                continue
            if 0 in array.shape:
                raise bad_request(f"input {name!r}: has no elements")
            pixels += int(np.prod(array.shape[:3]))
            key.append(array.shape[1:])
        if pixels > self._limits.image_pixels:
            raise bad_request(f"more than {self._limits.image_pixels} pixels in one request")
        return Job(asked.signature_name, inputs, pixels, tuple(key))

    def _check_model(self, request):
        name, version = request.path_params["name"], request.path_params.get("version")
        if name != self._name or version not in (None, self._servable.version):
            which = f"Specific({name}, {version})" if version is not None else f"Latest({name})"
            raise RequestError(404, f"Servable not found for request: {which}")

    def _reserve(self, request):
        """Room for the body, from what it says to be its length."""
        most = self._limits.request_bytes
        try:
            length = int(request.headers.get("content-length", most))
        except ValueError:
            raise bad_request("Content-Length is no number") from None
        if length > most:
            raise RequestError(413, f"the request has {length} bytes, more than the {most} allowed")
        if self._pending_bytes + length > self._limits.pending_bytes:
            raise overloaded()
        self._pending_bytes += length
        return length

    async def _read(self, request: Request) -> bytes:
        most, body = self._limits.request_bytes, bytearray()
        try:
            async with asyncio.timeout(self._limits.read_seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > most:
                        raise RequestError(413, f"the request has more than {most} bytes")
        except TimeoutError:
            raise RequestError(408, "the request did not arrive in time") from None
        except ClientDisconnect:
            raise bad_request("the client went away") from None
        return bytes(body)


def _size_key(sizes):
    """The size of all images, or the sizes of each: requests of equal keys need no padding."""
    return sizes[0] if len(set(sizes)) == 1 else tuple(sizes)


def _reason(error):
    """What TensorFlow says, without the names of nodes and their stacks."""
    lines = (line.strip() for line in error.message.splitlines())
    noise = ("[[", "<stack", "Detected at", "Graph execution error", "(0)", "(1)")
    said = [line for line in lines if line and not line.startswith(noise)]
    return f"the input cannot be computed: {said[0] if said else 'no reason given'}"


def _error(status, message):
    headers = {"Retry-After": "1"} if status == 503 else {}
    if status in (408, 413):
        headers["Connection"] = "close"  # what is left of the body is not read
    return Response(
        json.dumps({"error": message}),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )
