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
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from sact_tf.serving.server import tensor_json
from sact_tf.serving.server.batcher import Batcher, Job
from sact_tf.serving.server.bodies import Books, read_body
from sact_tf.serving.server.errors import RequestError, bad_request
from sact_tf.serving.server.image_limits import client_limits, image_sizes, plain_images
from sact_tf.serving.server.limits import Limits
from sact_tf.serving.server.page import page
from sact_tf.serving.server.responses import LargeResponse, error_response
from sact_tf.serving.server.servable import Servable

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
        cors_origins: web sites whose pages may ask, as `https://example.org`; `*` is all.
    """

    def __init__(
        self,
        name: str,
        servable: Servable,
        limits: Limits,
        wait_seconds: float = 0.0,
        cors_origins: Sequence[str] = (),
    ):
        self._name = name
        self._servable = servable
        self._limits = limits
        self._image_limits = client_limits(limits.image_pixels)
        self._cors_origins = cors_origins
        self._books = Books(limits.pending_bytes)
        # One at a time: a picture is larger than its file, and parsed JSON than its text.
        self._picture_lock = asyncio.Lock()
        self._json_lock = asyncio.Lock()
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
        for path in ("/v1/models/{name}/versions/{version}", "/v1/models/{name}"):
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

        cors = Middleware(
            CORSMiddleware,
            allow_origins=self._cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
        )
        return Starlette(
            routes=routes,
            lifespan=lifespan,
            middleware=[cors] if self._cors_origins else [],
            exception_handlers={
                RequestError: lambda _, error: error_response(
                    error.status, str(error), error.headers
                ),
                HTTPException: lambda request, error: error_response(
                    error.status_code, f"{error.detail}: {request.method} {request.url.path}"
                ),
                Exception: lambda *_: error_response(500, "internal error, see the server's log"),
            },
        )

    async def _page(self, _):
        return HTMLResponse(page(self._name, self._servable.description), headers=_PAGE_HEADERS)

    async def _picture(self, request):
        """The decoded file as PNG: browsers read fewer formats, and turn some differently."""
        with self._books.open() as booking:
            data = await read_body(request, self._books, booking, self._limits)
            async with self._picture_lock:
                plain = await run_in_threadpool(self._plain, np.array([data], object))
            return LargeResponse(plain[0], self._books, "image/png")

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
        with self._books.open() as booking:
            body = await read_body(request, self._books, booking, self._limits)
            async with self._json_lock:
                name, is_row, inputs = await run_in_threadpool(self._inputs, body)
            del body
            outputs = await self._outputs(name, inputs)
            content = await run_in_threadpool(tensor_json.output_json, outputs, is_row)
            return LargeResponse(content, self._books, "application/json")

    async def _outputs(self, signature_name, inputs):
        job = await run_in_threadpool(self._job, signature_name, inputs)
        try:
            return await asyncio.wrap_future(self.batcher.submit(job))
        except tf.errors.InvalidArgumentError as error:
            raise bad_request(_reason(error)) from None
        except tf.errors.ResourceExhaustedError:
            raise RequestError(503, "not enough memory for the request") from None

    def _run(self, signature, inputs):
        # Not before they are computed: what waits in the queue is small as long as it is encoded.
        inputs = {
            name: self._plain(array) if array.dtype == object else array
            for name, array in inputs.items()
        }
        return self._servable.run(signature, inputs)

    def _plain(self, images):
        return plain_images(images, self._image_limits)

    def _inputs(self, body):
        """Name of the signature, whether the request came in row form, and its arrays."""
        asked = tensor_json.parse_request(body)
        specs = self._servable.inputs.get(asked.signature_name)
        if specs is None:
            raise bad_request(
                f'Serving signature name: "{asked.signature_name}" not found in signature def; '
                f"there are {sorted(self._servable.inputs)}"
            )
        return asked.signature_name, asked.is_row, tensor_json.input_tensors(asked, specs)

    def _job(self, signature_name, inputs):
        """Finds everything that can be wrong with the arrays, before anything is computed."""
        most = self._limits.batch_size
        if len(next(iter(inputs.values()))) > most:
            raise bad_request(f"more than {most} images in one request")
        pixels, key = 0, []
        for name, array in inputs.items():
            if array.dtype == object:
                sizes = image_sizes(array.tolist(), self._image_limits)
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
        return Job(signature_name, inputs, pixels, tuple(key))

    def _check_model(self, request):
        name, version = request.path_params["name"], request.path_params.get("version")
        if name != self._name or version not in (None, str(self._servable.version)):
            # Routes for GET take ":predict" for a part of the name, or of the version.
            if request.method != "POST" and request.url.path.endswith(":predict"):
                message = f":predict: expected the method POST, received {request.method}"
                raise RequestError(405, message, {"Allow": "POST"})
            which = f"Specific({name}, {version})" if version is not None else f"Latest({name})"
            served = f"Specific({self._name}, {self._servable.version})"
            raise RequestError(404, f"Servable not found for request: {which}; there is {served}")


def _size_key(sizes):
    """The size of all images, or the sizes of each: requests of equal keys need no padding."""
    return sizes[0] if len(set(sizes)) == 1 else tuple(sizes)


def _reason(error):
    """What TensorFlow says, without the names of nodes and their stacks."""
    lines = (line.strip() for line in error.message.splitlines())
    noise = ("[[", "<stack", "Detected at", "Graph execution error", "(0)", "(1)")
    said = [line for line in lines if line and not line.startswith(noise)]
    return f"the input cannot be computed: {said[0] if said else 'no reason given'}"
