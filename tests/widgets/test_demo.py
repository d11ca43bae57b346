"""The demo does the whole job through the real panels, and says so where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet.core.card import read_card
from napari_unet.demo import run_demo

RUN = """
import sys
from pathlib import Path
from napari_unet.demo import run_demo
sys.exit(run_demo(Path(sys.argv[1]), True, minutes=0.1))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
def test_without_screen_and_xvfb_there_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    before = dict(os.environ)
    assert run_demo(tmp_path / "out", headless=True) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "install xvfb" in said.err
    assert "Traceback" not in said.err
    assert dict(os.environ) == before


@pytest.mark.skipif(sys.platform != "linux", reason="needs a virtual screen")
def test_the_whole_job_without_a_screen(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "against the truth: AP50" in done.stdout
    assert tifffile.imread(tmp_path / "weights.tif").max() > 1
    assert tifffile.imread(tmp_path / "labels.tif").shape == (512, 512)
    assert read_card(tmp_path / "model.safetensors").channels == 1
    assert (tmp_path / "window.png").stat().st_size > 50_000
    assert all(str(Path(tmp_path, name)) in done.stdout for name in ("window.png", "labels.tif"))
    assert np.isfinite(tifffile.imread(tmp_path / "weights.tif")).all()
