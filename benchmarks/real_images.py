"""Train, predict and evaluate on real images through the public command line.

    python benchmarks/real_images.py DATA [--minutes 10] [--sets dsb2018_fluo ...]

DATA holds one folder a set with `train` and `val`, each with `images` and `labels` of the same
stems. Every model is trained from scratch on `train` alone (a fifth of it held out by the
command itself) and scored once on `val`. Prints the rows of the README's table and writes every
figure to `benchmarks/results/real_images.json`, beside the versions and the machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SETS = {
    "dsb2018_fluo": "nuclei, fluorescence, 8 bit",
    "bbbc039": "nuclei, fluorescence, 16 bit",
    "bitdepth_tissue16": "nuclei in tissue, fluorescence, 16 bit",
    "dsb2018_histology": "nuclei, H&E, RGB",
    "usiigaci_phase": "whole cells, phase contrast",
    "isbi2012_em": "neurites, electron microscopy",
}
RESULTS = Path(__file__).parent / "results" / "real_images.json"


def call(*arguments: object) -> dict:
    """One command of ours, as a person runs it, and its JSON."""
    command = [sys.executable, "-m", "napari_unet.cli", *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def run(folder: Path, minutes: float, flags: list[str]) -> dict:
    """Train on `train`, predict `val`, score it."""
    train, val = folder / "train", folder / "val"
    with tempfile.TemporaryDirectory() as scratch:
        model, out = Path(scratch) / "model.safetensors", Path(scratch) / "predicted"
        trained = call(
            *("train", "--images", train / "images", "--labels", train / "labels"),
            *("-o", model, "--minutes", minutes, *flags),
        )
        call("predict", model, val / "images", "-o", out)
        score = ("evaluate", "--truth", val / "labels", "--prediction", out)
        scores = call(*score)
        # as the authors of BBBC039 do, whose truth has about 2.5 % debris
        without_debris = call(*score, "--min-size", 20)
    return {
        "minutes": minutes,
        "flags": flags,
        **scores,
        "ap50_without_debris": without_debris["ap50"],
        "trained": trained,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    given, flags = parser.parse_known_args()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known["machine"] = call("info")
    for name in given.sets:
        row = run(given.data / name, given.minutes, flags)
        known[name] = row
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(known, indent=1) + "\n")
        figures = " | ".join(f"{row[key]:.3f}" for key in ("ap50", "ap75", "f1_50", "pq", "iou"))
        print(f"| {name} | {SETS[name]} | {row['minutes']:g} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
