"""What each choice in training is worth: one is changed at a time, everything else as it is.

    python benchmarks/ablation.py DATA [--steps 300] [--seeds 0] [--sets dsb2018_fluo ...]
        [--only "w0 = 0" ...]

Each case is one training through the public command line, from scratch on `train` of the set, of
which the command holds a seeded fifth of the images out and scores the last state on it; `val`
is not read. Steps instead of minutes, so that the figures do not depend on the machine. Prints a
table of the mean AP (IoU 0.5 … 0.95) and AP50, medians over the seeds; every run is kept in
`benchmarks/results/ablation.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from real_images import call

RESULTS = Path(__file__).parent / "results" / "ablation.json"
SETS = ("dsb2018_fluo", "usiigaci_phase", "dsb2018_histology")
CASES = {
    "as it is": (),
    "w0 = 0 (no border weights)": ("--w0", 0),
    "w0 = 3": ("--w0", 3),
    "ridges not cut": ("--no-ridge",),
    "balanced classes": ("--class-weights", "balanced"),
    "no elastic deformation": ("--elastic", 0),
    "a third of the elastic deformation": ("--elastic", 3),
    "not scaled": ("--scale", 1),
    "grey values changed more": ("--intensity", 0.25),
    "grey values not changed": ("--intensity", 0, "--noise", 0),
    "no augmentation": (
        "--elastic", 0, "--no-rotate", "--no-flip", "--scale", 1, "--intensity", 0, "--noise", 0,
    ),
    "grey values not stretched": ("--stretch", 0),
    "not split": ("--split", "none"),
    "wide network": ("--preset", "wide"),
}  # fmt: skip


def run(folder: Path, steps: int, seed: int, flags: tuple[object, ...]) -> dict[str, float]:
    """Scores of the last state on what was held out of `train`."""
    with tempfile.TemporaryDirectory() as scratch:
        trained = call(
            *("train", "--images", folder / "images", "--labels", folder / "labels"),
            *("-o", Path(scratch) / "model.safetensors", "--steps", steps, "--seed", seed),
            *("--validations", 1, "--no-keep-best", *flags),
        )
    return {name: trained["scores"][name] for name in ("ap50", "mean_ap")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=list(CASES))
    given = parser.parse_args()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    print(f"| case | {' | '.join(given.sets)} |\n|---|{'---|' * len(given.sets)}")
    for case in given.only:
        cells = []
        for name in given.sets:
            rows = []
            for seed in given.seeds:
                key = f"{name}, {case}, {given.steps} steps, {seed}"
                if key not in known:
                    known[key] = run(given.data / name / "train", given.steps, seed, CASES[case])
                    RESULTS.write_text(json.dumps(known, indent=1) + "\n")
                rows.append(known[key])
            middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            cells.append(f"{middle['mean_ap']:.3f} / {middle['ap50']:.3f}")
        print(f"| {case} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
