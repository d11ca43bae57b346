"""Where to compute, in which precision, and why: in words that a dock can show."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch

from napari_unet.core.errors import InputError

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class DeviceReport:
    """The device that work will use, and the reason.

    Attributes
    ----------
    device : str
        "cpu", "cuda" or "mps".
    name : str
        Of the hardware, for the person.
    precision : str
        "float32" or "bfloat16".
    reason : str
        One sentence: why this device.
    hint : str
        The command that would get a GPU working, or "".
    """

    device: str
    name: str
    precision: Precision
    reason: str
    hint: str = ""

    @property
    def words(self) -> str:
        """Short form for a status line."""
        return f"{self.name}, {self.precision}"


def resolve_device(wanted: str = "auto", precision: str = "auto") -> DeviceReport:
    """Choose the device and the precision.

    Parameters
    ----------
    wanted : {"auto", "cpu", "cuda", "mps"}
    precision : {"auto", "float32", "bfloat16"}

    Raises
    ------
    InputError
        If a device is asked for that is not there.
    """
    report = _choose(wanted)
    if precision == "auto":
        return report
    return dataclasses.replace(report, precision=cast(Precision, precision))


def _choose(wanted: str) -> DeviceReport:
    if wanted not in ("auto", "cpu", "cuda", "mps"):
        raise InputError(f"There is no device {wanted!r}: choose auto, cpu, cuda or mps.")
    if wanted in ("auto", "cuda") and torch.cuda.is_available():
        precision: Precision = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
        return DeviceReport(
            "cuda", torch.cuda.get_device_name(), precision, "A CUDA GPU was found."
        )
    if wanted in ("auto", "mps") and torch.backends.mps.is_available():
        return DeviceReport("mps", "Apple GPU", "float32", "An Apple GPU was found.")
    reason, hint = _why_no_gpu()
    if wanted in ("cuda", "mps"):
        raise InputError(
            f"The device {wanted} is not available: {reason} Use --device auto or cpu."
        )
    if wanted == "cpu":
        reason, hint = "The CPU was asked for.", ""
    return DeviceReport("cpu", _cpu_name(), _faster_cpu_precision(), reason, hint)


def _why_no_gpu() -> tuple[str, str]:
    has_driver = shutil.which("nvidia-smi") is not None or os.path.exists("/dev/nvidia0")
    if torch.version.cuda is None and has_driver:
        return (
            f"An NVIDIA driver is here, but torch {torch.__version__} is built without CUDA.",
            "pip install --force-reinstall torch torchvision",
        )
    if has_driver:
        return (
            f"torch {torch.__version__} is built for CUDA {torch.version.cuda}, but the NVIDIA "
            "driver does not answer it: it may be too old.",
            "nvidia-smi",
        )
    return "No GPU was found.", ""


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip().split(" @")[0]
    except OSError:
        pass  # not Linux: the next line knows the processor there
    return platform.processor() or platform.machine() or "CPU"


def _faster_cpu_precision() -> Precision:
    """bfloat16 where the processor multiplies in it.

    A convolution in bfloat16 ran 1.9 times as fast as in float32 with AVX-512 BF16, 4 to 5 times
    with AMX, and several times slower without either.
    """
    ask = getattr(torch.cpu, "get_capabilities", None)  # torch 2.10 or newer
    capabilities: Mapping[str, object] = {} if ask is None else ask()
    has_units = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    return "bfloat16" if has_units else "float32"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device had no more memory to give: less at a time may still do."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)


def free_memory(where: DeviceReport) -> None:
    """Give back what torch keeps of the device's memory for later."""
    if where.device == "cuda":
        torch.cuda.empty_cache()
    elif where.device == "mps":
        torch.mps.empty_cache()
