"""What went wrong, in one sentence for the person."""

from __future__ import annotations

from napari_unet.core.errors import InputError


def explain(title: str, error: Exception) -> str:
    """One sentence for the person: what went wrong and what to do."""
    text = str(error)
    smaller = "choose a smaller tile or batch, or close other programs"
    if isinstance(error, InputError):
        return text
    if type(error).__name__ == "OutOfMemoryError" or "MPS backend out of memory" in text:
        return f"{title} failed: the memory of the GPU ran out; {smaller} that use it."
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return f"{title} failed: the memory of this computer ran out; {smaller}."
    first = text.strip().splitlines()[0] if text.strip() else "no reason was given"
    return f"{title} failed: {first.rstrip('.')} ({type(error).__name__})."


def say_what_is_missing(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return (
            f"{error.name} is not installed beside napari: run `pip install napari-unet-cells` in "
            "napari's environment."
        )
    package = (error.name or "torch").partition(".")[0]
    return (
        f"{package} cannot be loaded ({error}): run `pip install --force-reinstall {package}` in "
        "napari's environment."
    )
