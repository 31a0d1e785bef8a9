"""What a request can fail with, as HTTP status codes."""


class RequestError(Exception):
    """A request that is not answered.

    Args:
        status: HTTP status code.
        message: for the client, as `{"error": message}`.
        headers: of the answer.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


def bad_request(message: str) -> RequestError:
    return RequestError(400, message)


def overloaded() -> RequestError:
    return RequestError(503, "the server is overloaded, try again later", {"Retry-After": "1"})
