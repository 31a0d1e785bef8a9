"""Load test of the HTTP server: latency and throughput, dense against tiled, nothing lost.

    python -m benchmarks.serving --depth=50 --image_size=224 --clients=1,4,16 --json=serving.json

Exports one network three times (plain, SACT masked, SACT tiled), serves each by a process of its
own, and lets clients send pictures for a while, each as soon as it has the answer to the last. The
halting scores are shifted to the wanted share of FLOPs; weights are random, which the time does not
depend on. `--export_dir` measures exports of one's own instead.
"""

import base64
import http.client
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from absl import flags, logging
from PIL import Image

import sact_tf
from benchmarks import measure
from benchmarks.options import define_depth
from sact_tf.command_line import run
from sact_tf.serving.export import export


def define_flags():
    define_depth(50)
    flags.DEFINE_integer("image_size", 224, "side of the pictures, in pixels")
    flags.DEFINE_float("flops_ratio", 0.55, "FLOPs of SACT over those of plain")
    flags.DEFINE_list("clients", ["1", "4", "16"], "numbers of concurrent clients")
    flags.DEFINE_float("seconds", 20.0, "how long each number of clients sends")
    flags.DEFINE_multi_string("export_dir", [], "exports to measure instead")
    flags.DEFINE_string("json", None, "file for the results as JSON")


def main(_):
    logging.set_verbosity(logging.WARNING)  # of what exporting has to say
    clients = [int(number) for number in flags.FLAGS.clients]
    rows = []
    print("export        clients  images/s  p50 ms  p95 ms  p99 ms  answers  lost")
    with tempfile.TemporaryDirectory() as scratch:
        exports = [pathlib.Path(path) for path in flags.FLAGS.export_dir]
        for folder in exports or _make_exports(pathlib.Path(scratch)):
            with _Server(folder) as server:
                _load(server, 1, 2.0)
                for number in clients:
                    row = {"export": folder.name, "clients": number, **_load(server, number)}
                    rows.append(row)
                    print(
                        f"{row['export']:<12}  {number:>7}  {row['images_per_second']:>8.2f}  "
                        f"{row['p50_ms']:>6.0f}  {row['p95_ms']:>6.0f}  {row['p99_ms']:>6.0f}  "
                        f"{row['answers']:>7}  {row['lost']:>4}",
                        flush=True,
                    )
    measure.write_json(flags.FLAGS.json, rows)
    if any(row["lost"] for row in rows):
        sys.exit("answers are missing")


def _make_exports(directory):
    preprocessing = {"name": "scale", "image_size": flags.FLAGS.image_size}

    def network(halting):
        backbone = sact_tf.models.ResNetBackbone.from_depth(flags.FLAGS.depth, halting=halting)
        return sact_tf.models.ImageClassifier(backbone, 1000, preprocessing=preprocessing)

    plain, adaptive = network(None), network("sact")
    adaptive.warm_start(plain)
    pictures = np.stack([_pixels(seed) for seed in range(4)]) / 127.5 - 1
    budget = sact_tf.budget.calibrate(
        adaptive, pictures.astype(np.float32), flags.FLAGS.flops_ratio
    )
    for name, model, execution in (
        ("plain", plain, "masked"),
        ("sact_masked", budget, "masked"),
        ("sact_tiled", budget, "tiled"),
    ):
        export(model, directory / name / "1", execution=execution)
        yield directory / name


class _Server:
    """The server in a process of its own."""

    def __init__(self, folder):
        command = [sys.executable, "-m", "sact_tf.serving.rest", f"--export_dir={folder}"]
        self._process = subprocess.Popen(
            [*command, "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        url = self._process.stdout.readline().split()[-1:]
        if not url:
            raise RuntimeError(f"the server of {folder} did not start")
        address, self.path = url[0].removeprefix("http://").split("/", 1)
        self.port = int(address.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


def _load(server, clients, seconds=None):
    """Lets clients send for some seconds; every request must be answered."""
    latencies, lost = [], []
    end = time.monotonic() + (seconds or flags.FLAGS.seconds)

    def client(seed):
        body = _request(seed)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        while time.monotonic() < end:
            start = time.perf_counter()
            try:
                connection.request("POST", f"/{server.path}:predict", body)
                answer = connection.getresponse()
                content = json.loads(answer.read())
                if answer.status != 200 or len(content["predictions"]) != 1:
                    raise ValueError(content)
            except (OSError, http.client.HTTPException, ValueError) as error:
                lost.append(error)
                connection.close()
                continue
            latencies.append(1e3 * (time.perf_counter() - start))
        connection.close()

    start = time.perf_counter()
    threads = [threading.Thread(target=client, args=[seed]) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    quantiles = np.quantile(latencies, [0.5, 0.95, 0.99]) if latencies else [float("inf")] * 3
    return {
        "images_per_second": len(latencies) / elapsed,
        **dict(zip(("p50_ms", "p95_ms", "p99_ms"), map(float, quantiles), strict=True)),
        "answers": len(latencies),
        "lost": len(lost),
    }


def _pixels(seed):
    """A photograph's statistics, roughly: uint8 [side, side, 3]."""
    small = np.random.default_rng(seed).integers(0, 255, [12, 12, 3], np.uint8)
    side = flags.FLAGS.image_size
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def _request(seed):
    buffer = io.BytesIO()
    Image.fromarray(_pixels(seed)).save(buffer, "JPEG", quality=90)
    return json.dumps({"instances": [{"b64": base64.b64encode(buffer.getvalue()).decode()}]})


if __name__ == "__main__":
    run(main, define_flags)
