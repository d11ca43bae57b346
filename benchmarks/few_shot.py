"""From a few painted crops to cells: how good after how little, with and without a start model.

    python benchmarks/few_shot.py DATA [--sets dsb2018_fluo] [--crops 1 5] [--minutes 1]
        [--start nuclei none forest] [--seeds 0 1 2]

A crop is 256² of a `train` image of the set, drawn by the seed among those with 20 to 30 cells
(the most crowded where there are none); all that is in it counts as painted. Trained through the
public command line on the crops alone, scored on all of `val`, beside the start model untouched;
the `peers` on the same crops. Prints a row of medians over the seeds for each
case; every run is kept in `benchmarks/results/few_shot.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from napari_unet.core.file_pairs import pair_by_stem
from napari_unet.core.label_files import read_labels
from napari_unet.core.listing import expand
from napari_unet.core.metrics import evaluate
from napari_unet.core.pixels import read_image
from napari_unet.core.start_models import START_MODELS
from peers import PEERS
from real_images import call

FIGURES = ("ap50", "ap75", "mean_ap")
RESULTS = Path(__file__).parent / "results" / "few_shot.json"
_EDGE = 256
_CELLS = (20, 30)
_SMALLEST = 20  # px of a cell that counts


def draw_crops(folder: Path, count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Image (C, H, W) and labels of `count` crops, each of another image where there are enough."""
    rng = np.random.default_rng(seed)
    pairs = pair_by_stem(expand(folder / "images"), expand(folder / "labels", "labels"))
    crops, spare = [], []
    for i in rng.permutation(len(pairs)):
        image, labels = read_image(pairs[i][0]), read_labels(pairs[i][1])
        top, left = (int(rng.integers(0, max(1, n - _EDGE + 1))) for n in labels.shape)
        box = slice(top, top + _EDGE), slice(left, left + _EDGE)
        cells = np.count_nonzero(np.bincount(labels[box].ravel())[1:] >= _SMALLEST)
        crop = image[(slice(None), *box)], labels[box]
        if _CELLS[0] <= cells <= _CELLS[1]:
            crops.append(crop)
        else:
            spare.append((cells, len(spare), crop))
        if len(crops) == count:
            break
    fill = sorted(spare, key=lambda each: -each[0])[: count - len(crops)]
    return crops + [crop for _, _, crop in fill]


def score(model: object, folder: Path, scratch: Path) -> dict[str, float]:
    """AP50, AP75 and mean AP on `val`."""
    out = scratch / "predicted"
    call("predict", model, folder / "val" / "images", "-o", out)
    scores = call("evaluate", "--truth", folder / "val" / "labels", "--prediction", out)
    return {name: scores[name] for name in FIGURES}


def run(folder: Path, crops: int, minutes: float, start: str, seed: int) -> dict[str, float]:
    """Train on crops and score."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = teach(folder, crops, minutes, start, seed, scratch)
        return score(model, folder, scratch)


def teach(folder: Path, crops: int, minutes: float, start: str, seed: int, scratch: Path) -> Path:
    """A model trained on crops, in a folder for all that is made for it."""
    for kind in ("images", "labels"):
        (scratch / kind).mkdir()
    for i, (image, labels) in enumerate(draw_crops(folder / "train", crops, seed)):
        rgb = {"photometric": "rgb"} if len(image) == 3 else {}
        pixels = np.moveaxis(image, 0, -1) if len(image) == 3 else image[0]
        tifffile.imwrite(scratch / "images" / f"{i}.tif", pixels, **rgb)
        tifffile.imwrite(scratch / "labels" / f"{i}.tif", labels.astype(np.int32))
    model = scratch / "model.safetensors"
    call(
        *("train", "--images", scratch / "images", "--labels", scratch / "labels"),
        *("-o", model, "--minutes", minutes, "--start-from", start, "--seed", seed),
    )
    return model


def run_peer(folder: Path, crops: int, minutes: float, name: str, seed: int) -> dict[str, float]:
    """The same for another program."""
    find = PEERS[name](draw_crops(folder / "train", crops, seed), minutes, seed)
    val = folder / "val"
    pairs = pair_by_stem(expand(val / "images"), expand(val / "labels", "labels"))
    found = [np.asarray(find(read_image(image))).astype(np.int32) for image, _ in pairs]
    scores = evaluate([read_labels(truth) for _, truth in pairs], found)
    return {name: scores[name] for name in FIGURES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=["dsb2018_fluo"])
    parser.add_argument("--crops", nargs="*", type=int, default=[1, 5])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--start", nargs="+", default=["nuclei", "none"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in given.sets:
        folder = given.data / name
        for start in set(given.start) & START_MODELS.keys():
            with tempfile.TemporaryDirectory() as scratch:
                untouched = score(start, folder, Path(scratch))
            known[f"{name}, {start} untouched"] = untouched
            keep(known)
            show(f"{name} | {start} untouched | – | –", [untouched])
        for start in given.start:
            for crops in given.crops:
                rows = []
                for seed in given.seeds:
                    case = (folder, crops, given.minutes, start, seed)
                    rows.append(run_peer(*case) if start in PEERS else run(*case))
                    known[f"{name}, {start}, {crops} crops, {given.minutes:g} min, {seed}"] = rows[
                        -1
                    ]
                    keep(known)
                show(f"{name} | {start} | {crops} | {given.minutes:g}", rows)


def keep(known: dict[str, object]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(known, indent=1) + "\n")


def show(title: str, rows: list[dict[str, float]]) -> None:
    """A row of the table: medians, and in brackets what the seeds gave."""
    cells = []
    for name in ("ap50", "ap75"):
        values = [row[name] for row in rows]
        each = ", ".join(f"{value:.3f}" for value in values)
        cells.append(f"{statistics.median(values):.3f}" + (f" ({each})" if len(rows) > 1 else ""))
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
