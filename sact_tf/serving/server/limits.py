"""How much a client may ask for."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of the server.

    Attributes:
        request_bytes: largest body of a request.
        pending_bytes: of what has arrived of all requests under way, and of answers that are not
            taken yet; beyond it clients get status 503.
        image_pixels: width * height of one image, of all images of a request together (after
            padding to the largest), and of all that are computed at once.
        batch_size: images of one request, and images that are computed at once.
        pending_images: images that wait; beyond it clients get status 503.
        header_seconds: in which a request's headers must have arrived.
        body_seconds: in which its body must have arrived after them, and in which a client must
            take 64 KiB of its answer.
    """

    request_bytes: int = 32 << 20
    pending_bytes: int = 256 << 20
    image_pixels: int = 16_000_000
    batch_size: int = 32
    pending_images: int = 256
    header_seconds: float = 20.0
    body_seconds: float = 30.0

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if not value > 0:
                raise ValueError(f"Expected {name} to be positive, received {value}")
