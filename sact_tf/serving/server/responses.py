"""Answers: errors as TensorFlow Serving's JSON, and bodies that may be large."""

import json

from starlette.responses import Response

from sact_tf.serving.server.bodies import Books

_PART = 1 << 18
_LONGEST_MESSAGE = 2000  # it may repeat what came


def error_response(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """`{"error": message}`.

    The connection stays open, also where the body was not read: the rest of it is thrown away
    (`sact_tf.serving.server.protocol`), because clients that are hung up on while they send never
    read the answer.
    """
    content = json.dumps({"error": message[:_LONGEST_MESSAGE]})
    return Response(content, status, headers, media_type="application/json")


class LargeResponse(Response):
    """An answer that is booked until the client has taken it, and handed over in parts.

    It is not refused for want of room: the work is done.

    Args:
        content: the body.
        books: where it is booked.
        media_type: of it.
    """

    def __init__(self, content: bytes, books: Books, media_type: str):
        super().__init__(content, media_type=media_type)
        self._books = books

    async def __call__(self, scope, receive, send):
        body = memoryview(self.body)
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        with self._books.open() as booking:
            booking.add(len(body), is_optional=False)
            await send(start)
            for position in range(0, len(body), _PART):
                part = bytes(body[position : position + _PART])
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
