"""What decoding one picture may cost, whatever its header says."""

import dataclasses
import io
import math
import time


class LimitExceeded(Exception):
    """A file asks for more than it may; no ValueError or OSError, which Pillow would swallow."""


@dataclasses.dataclass(frozen=True)
class DecodingLimits:
    """Bounds of the work that one file may cause.

    The defaults are for one's own files: large pictures are read, endless ones are not. Pillow has
    a limit of pixels of its own (`PIL.Image.MAX_IMAGE_PIXELS`) beside these.

    Attributes:
        pixels: width * height, and those of one tile of a TIFF file.
        side: width, and height.
        scans: passes of a JPEG file over its picture.
        parts: segments of a JPEG file, chunks of a PNG file, numbers of one tag of a TIFF file.
        seconds: of CPU time of one pass over the file. A busy machine does not shorten it.
    """

    pixels: float = math.inf
    side: float = math.inf
    scans: float = 1000
    parts: float = 1 << 20
    seconds: float = math.inf

    def check_size(self, width: int, height: int) -> None:
        """Raises LimitExceeded for a picture that is too large, or has no pixels."""
        if width < 1 or height < 1:
            raise LimitExceeded(f"has {width} x {height} pixels")
        self.check_pixels("it", width, height)
        if max(width, height) > self.side:
            raise LimitExceeded(
                f"has {width} x {height} pixels, more than the {self.side} allowed on a side"
            )

    def check_pixels(self, what: str, width: int, height: int) -> None:
        """Raises LimitExceeded where a rectangle of so many pixels is too large."""
        if width * height > self.pixels:
            has = "has" if what == "it" else f"{what} have"
            raise LimitExceeded(
                f"{has} {width} x {height} pixels, more than the {self.pixels} allowed"
            )

    def check_parts(self, number: int, what: str) -> None:
        """Raises LimitExceeded for a file of too many parts."""
        if number > self.parts:
            raise LimitExceeded(f"has more than the {self.parts} {what} allowed")

    def stream(self, data: bytes) -> io.BytesIO:
        """The bytes as Pillow reads them; reading them raises LimitExceeded where it never ends."""
        return io.BytesIO(data) if math.isinf(self.seconds) else _Bounded(data, self.seconds)


OWN_FILES = DecodingLimits()


class _Bounded(io.BytesIO):
    """Bytes for a decoder that asks for them in small pieces, and gets them for some time only."""

    def __init__(self, data: bytes, seconds: float):
        super().__init__(data)
        self._seconds = seconds
        self._deadline = time.thread_time() + seconds
        # Decoders go over a header twice. Tags that overlap can be read without end.
        self._left = 4 * len(data) + (1 << 20)

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        self._left -= len(part)
        if self._left < 0:
            raise LimitExceeded("refers to the same bytes again and again")
        if time.thread_time() > self._deadline:
            raise LimitExceeded(f"takes more than the {self._seconds:g} s of computing allowed")
        return part
