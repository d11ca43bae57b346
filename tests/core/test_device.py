from __future__ import annotations

import pytest
import torch

from napari_unet.core.device import resolve_device
from napari_unet.core.errors import InputError


def test_the_cpu_can_always_be_asked_for():
    report = resolve_device("cpu", "float32")
    assert (report.device, report.precision) == ("cpu", "float32")
    assert report.name in report.words
    assert report.reason.endswith(".")


def test_precision_can_be_asked_for():
    assert resolve_device("cpu", "bfloat16").precision == "bfloat16"


def test_unknown_devices_are_refused():
    with pytest.raises(InputError, match="choose auto, cpu, cuda or mps"):
        resolve_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA GPU is here")
def test_a_missing_gpu_is_said_with_what_to_do(monkeypatch):
    with pytest.raises(InputError, match="cuda is not available"):
        resolve_device("cuda")
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    report = resolve_device()
    assert report.device == "cpu"
    assert report.hint


def test_a_cuda_gpu_is_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    report = resolve_device()
    assert (report.device, report.words) == ("cuda", "NVIDIA H200, bfloat16")


def test_an_apple_gpu_is_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device().device == "mps"


def test_processors_with_units_for_bfloat16_use_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for units, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda units=units: {"amx_bf16": units}, raising=False
        )
        assert resolve_device().precision == precision
