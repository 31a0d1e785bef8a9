"""Serves an export over HTTP, with TensorFlow Serving's REST interface and a page to try it.

    python -m sact_tf.serving.rest --export_dir=export/digits --port=8501

The newest version in the folder is served. Listens on this machine alone unless --host says
otherwise; it knows neither passwords nor TLS, so what faces a network belongs behind a proxy.
"""

import os
import re
import signal
import socket
from collections.abc import Sequence

import tensorflow as tf
from absl import flags

from sact_tf import command_line
from sact_tf.errors import UserError
from sact_tf.serving.server.limits import Limits
from sact_tf.serving.server.servable import Servable, find_version
from sact_tf.serving.server.urls import model_path

_ORIGIN = re.compile(r"https?://[^/\s,?#@*]+")


def define_flags() -> None:
    flags.DEFINE_string(
        "export_dir", None, "folder of versions, as train.export made them", required=True
    )
    flags.DEFINE_string(
        "model_name", None, "what clients call the model; by default the folder's name"
    )
    flags.DEFINE_string("host", "127.0.0.1", "address to listen on; 0.0.0.0 for all")
    flags.DEFINE_integer(
        "port", 8501, "port to listen on; 0 takes a free one", lower_bound=0, upper_bound=65535
    )
    flags.DEFINE_integer("batch_size", 32, "images computed at once", lower_bound=1)
    flags.DEFINE_float(
        "batch_wait_ms", 0.0, "how long a batch waits to become full", lower_bound=0.0
    )
    flags.DEFINE_integer(
        "pending_images",
        256,
        "images that may wait; beyond it clients get status 503",
        lower_bound=1,
    )
    flags.DEFINE_integer("request_mb", 32, "largest request, in MiB", lower_bound=1)
    flags.DEFINE_float(
        "image_megapixels", 16.0, "largest image, and all images of a request", lower_bound=0.01
    )
    flags.DEFINE_float(
        "header_seconds", 20.0, "how long a request's headers may take", lower_bound=0.1
    )
    flags.DEFINE_float(
        "body_seconds",
        30.0,
        "how long its body may take, and 64 KiB of the answer",
        lower_bound=0.1,
    )
    flags.DEFINE_list(
        "cors_origins",
        [],
        "web sites whose pages may ask, as https://example.org,http://localhost:3000; * for all",
    )
    flags.DEFINE_integer(
        "shutdown_seconds", 30, "how long requests under way may take after SIGTERM", lower_bound=1
    )


def main(_: Sequence[str]) -> None:
    values = flags.FLAGS
    limits = Limits(
        request_bytes=values.request_mb << 20,
        pending_bytes=max(256, 2 * values.request_mb) << 20,
        image_pixels=int(values.image_megapixels * 1e6),
        batch_size=values.batch_size,
        pending_images=max(values.pending_images, values.batch_size),
        header_seconds=values.header_seconds,
        body_seconds=values.body_seconds,
    )
    serve(
        values.export_dir,
        values.model_name,
        values.host,
        values.port,
        limits,
        values.batch_wait_ms / 1000,
        values.shutdown_seconds,
        values.cors_origins,
    )


def serve(
    export_dir: str | os.PathLike,
    name: str | None,
    host: str,
    port: int,
    limits: Limits,
    wait_seconds: float = 0.0,
    shutdown_seconds: int = 30,
    cors_origins: Sequence[str] = (),
) -> None:
    """Serves the newest version until SIGTERM or SIGINT, then answers what is under way.

    Args:
        export_dir: folder of versions.
        name: what clients call the model; None takes the folder's.
        host: address to listen on.
        port: 0 takes a free one.
        limits: what clients may ask for.
        wait_seconds: see `Batcher`.
        shutdown_seconds: how long requests under way may take at the end.
        cors_origins: see `ModelServer`.

    Raises:
        UserError: there is no version, it cannot be loaded, the name or the address cannot be had,
            or a package is missing.
    """
    uvicorn, ModelServer, deadline_protocol = _packages()
    _check_origins(cors_origins)
    folder = find_version(export_dir)
    # Not resolve(): where the folder is a link, its name is what people chose.
    name = name or os.path.basename(os.path.dirname(os.path.abspath(folder)))
    path = model_path(name)
    listening = _listen(host, port)
    servable = Servable(folder)
    _warm_up(servable)
    config = uvicorn.Config(
        ModelServer(name, servable, limits, wait_seconds, cors_origins).application(),
        http=deadline_protocol(limits.header_seconds, limits.body_seconds),
        ws="none",  # whose protocols have no deadlines
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=shutdown_seconds,
    )
    # uvicorn ends by these and then raises them again, which would end the process by the signal.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    host, port = listening.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    print(f"{name}, version {servable.version}: http://{host}:{port}{path}", flush=True)
    print(f"to try it: http://{host}:{port}/", flush=True)
    uvicorn.Server(config).run(sockets=[listening])
    print("ended: all requests are answered", flush=True)


def _packages():
    """`import sact_tf.serving.rest` needs what TensorFlow brings; serving needs more."""
    try:
        import uvicorn

        from sact_tf.serving.server.app import ModelServer
        from sact_tf.serving.server.protocol import deadline_protocol
    except ModuleNotFoundError as error:
        package = (error.name or "sact_tf").partition(".")[0]
        if package == "sact_tf":
            raise
        raise UserError(
            f"the server needs the package {package}, which is not installed: in a clone of this "
            "project, pip install '.[serving]' installs it"
        ) from error
    return uvicorn, ModelServer, deadline_protocol


def _check_origins(origins):
    wrong = [origin for origin in origins if origin != "*" and not _ORIGIN.fullmatch(origin)]
    if wrong:
        raise UserError(
            "--cors_origins: expected * or a list of scheme://host[:port] without a path, as "
            f"browsers send them in Origin; received {wrong[0]!r}"
        )


def _listen(host, port):
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        raise UserError(f"--host={host} --port={port}: cannot listen: {error}") from None
    return listening


def _warm_up(servable):
    """Runs every signature of images once; the first run of a graph is slow."""
    image = tf.io.encode_png(tf.zeros([32, 32, 3], tf.uint8)).numpy()
    for name, specs in servable.inputs.items():
        if list(specs) == ["image_bytes"]:
            servable.run(name, {"image_bytes": [image]})


if __name__ == "__main__":
    command_line.run(main, define_flags)
