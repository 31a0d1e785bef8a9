"""What a training run says on the terminal while it runs."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from tqdm import tqdm


class Progress:
    """A bar on a terminal, a line per log interval elsewhere.

    Args:
        total_steps: steps of the run.
        shown: names of the values to show, in this order, where there are such values.
        speaks: False for a process that leaves it to another one to say all this.
    """

    def __init__(self, total_steps: int, shown: Sequence[str], speaks: bool = True):
        self._total = total_steps
        self._shown = shown
        self._last_step = 0
        # orbit's controller prints every result to stdout as a dict; `orbit_silenced` turns that
        # off, so everything meant for people goes to the stream that stdout was at first.
        self._out = sys.stdout if speaks else None
        self._bar: tqdm | None = None

    def begin(self, step: int) -> None:
        """Training goes on after this step."""
        self._last_step = step
        if self._out is not None and self._out.isatty():
            self._bar = tqdm(total=self._total, initial=step, unit="step", file=self._out)

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """Shows the means of the last interval.

        Args:
            step: steps done.
            values: by name, `steps_per_second` and `examples_per_second` among them.
        """
        shown = "  ".join(f"{name} {values[name]:.4g}" for name in self._shown if name in values)
        rate, examples = values["steps_per_second"], values["examples_per_second"]
        if self._bar is not None:
            self._bar.set_postfix_str(f"{shown}  {examples:.4g} examples/s", refresh=False)
            self._bar.update(step - self._last_step)
        else:
            self.say(
                f"step {step:>{len(str(self._total))}}/{self._total}  {shown}  "
                f"{rate:.2f} steps/s  {examples:.4g} examples/s  "
                f"ETA {_clock((self._total - step) / max(rate, 1e-9))}"
            )
        self._last_step = step

    def say(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(text, file=self._out)
        elif self._out is not None:
            print(text, file=self._out, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextlib.contextmanager
def orbit_silenced() -> Iterator[None]:
    """Keeps orbit's own lines off stdout."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
