"""What a training says on the command line, and how Ctrl-C ends it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from napari_unet.core.events import exhaust
from napari_unet.say import say

Result = TypeVar("Result")


def run_until_ctrl_c(
    work: Generator[Any, None, Result], tell: Callable[[Any], object] | None
) -> Result:
    """Run a training to its end, showing its events to `tell`.

    Ctrl-C ends it after the step under way, which saves what was learnt, a second one at once.

    Raises
    ------
    KeyboardInterrupt
        After either.
    """
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def watch(event: Any) -> None:
        if tell is not None:
            tell(event)
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, ask)
    try:
        return exhaust(work, watch)
    finally:
        signal.signal(signal.SIGINT, before)


def tell_training(event: Any, whose: str = "") -> None:
    """Say what happened in a training; a line begins with `whose` it is."""
    from napari_unet.core.types import Prepared, Stepped, Validated, Warned

    match event:
        case Prepared():
            held_out = f", held out {event.held_out}" if event.held_out else ""
            say(
                f"{whose}{event.cells} cells in {event.images} images{held_out} · "
                f"{event.parameters / 1e6:.2f} M parameters · {event.device}, {event.precision}"
            )
        case Stepped(step=step) if step == 1 or step % 20 == 0:
            say(
                f"{whose}step {step} · {event.fraction:.0%} · {event.remaining:.0f} s left · "
                f"loss {event.loss:.4f} · {event.images_per_second:.1f} images/s"
            )
        case Validated():
            say(
                f"{whose}step {event.step} · held out: loss {event.loss:.4f} · "
                f"IoU {event.iou:.3f} · F1 {event.f1:.3f} · AP50 {event.ap50:.3f}"
                f"{' · best' if event.best else ''}"
            )
        case Warned():
            say(f"{whose}{event.message}")
