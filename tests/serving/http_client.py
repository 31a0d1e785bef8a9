"""A server in a process of its own, and a client that knows TensorFlow Serving's JSON only."""

import base64
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading

from tests.harness import ROOT


class Server:
    """`python -m sact_tf.serving.rest` on a free port of this machine.

    Args:
        export_dir: folder of versions.
        *flags: further flags.
    """

    def __init__(self, export_dir, *flags):
        command = [sys.executable, "-m", "sact_tf.serving.rest", f"--export_dir={export_dir}"]
        self.process = subprocess.Popen(
            [*command, "--port=0", *flags],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: os.environ[name] for name in os.environ if name != "TF_CPP_MIN_LOG_LEVEL"},
        )
        self.errors = []
        # Read as it comes, or the process would wait for room in the pipe.
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        try:
            line = self.process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:(\d+)(/v1/models/\S+)", line)
            if found is None:
                self.process.wait(10)
                raise RuntimeError(line + "".join(self.errors))
        except BaseException:
            self.process.kill()
            raise
        self.port, self.path = int(found[1]), found[2]

    def _read_errors(self):
        self.errors.extend(self.process.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._reader.join()
        return code

    def request(self, method, path, body=None, headers=None):
        """Returns `(status, JSON)`."""
        status, content = self._send(method, path, body, headers)
        return status, json.loads(content.decode())

    def picture(self, data):
        """What the page gets of an image: `(status, bytes)`."""
        return self._send("POST", "/picture", data)

    def _send(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def predict(self, content, path=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.request("POST", (path or self.path) + ":predict", body)


def b64(data):
    return {"b64": base64.b64encode(data).decode()}
