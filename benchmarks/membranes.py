"""Neurites in electron microscopy: the error measures of the ISBI 2012 challenge.

    python benchmarks/membranes.py DATA/isbi2012_em [--minutes 12] [--keep MODEL] [flags of `train`]

Trained through the public command line on the first sixteen slices of `train` (a model that is at
`--keep` already is taken as it is); whether and where cells are split is chosen on its last four,
and `val` is scored once. Adapted Rand error as in `napari_unet.core.metrics`, of neurites that were
grown until they meet: the challenge thins borders before it counts (Arganda-Carreras et al. 2015,
V^Rand after border thinning), as a wide border is no error of the segmentation;
`rand_error_as_drawn` is without that. Pixel error is the share of pixels on the wrong side of
probability 0.5, against the published truth. Neighbouring slices resemble each other, and the
challenge's own test set is another volume.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import tifffile
from skimage.segmentation import expand_labels

from napari_unet.core.label_files import read_labels
from napari_unet.core.listing import expand
from napari_unet.core.metrics import adapted_rand_error
from real_images import call

RESULTS = Path(__file__).parent / "results" / "membranes.json"
_FIT = 16
_ALWAYS = ("--tta", "--no-fill-holes", "--min-score", 0, "--min-size", 10)
"""As in the paper's own test the mean over turns; a neurite that runs round others is no hole."""
_WAYS = [
    ("--threshold", threshold, *split)
    for threshold in (0.3, 0.5, 0.7)
    for split in (
        ("--split", "none"),
        *(("--split", "watershed", "--neck", neck) for neck in (0.3, 0.5, 0.7)),
    )
]


def score(model: Path, images: list[Path], folder: Path, way: tuple) -> dict[str, float]:
    """Mean errors over slices of a folder that has `labels` and `membranes`."""
    with tempfile.TemporaryDirectory() as out:
        call("predict", model, *images, "-o", out, "--probabilities", *_ALWAYS, *way)
        thinned, drawn, pixel = [], [], []
        for image in images:
            found = read_labels(Path(out) / f"{image.stem}.tif")
            truth = read_labels(folder / "labels" / f"{image.stem}.tif")
            drawn.append(adapted_rand_error(truth, found))
            thinned.append(adapted_rand_error(truth, expand_labels(found, max(found.shape))))
            inside = tifffile.imread(Path(out) / "probabilities" / f"{image.stem}.tif").squeeze()
            said = iio.imread(folder / "membranes" / f"{image.stem}.png") > 0
            pixel.append(float(np.mean((inside > 0.5) != said)))
    errors = {"rand_error": thinned, "rand_error_as_drawn": drawn, "pixel_error": pixel}
    return {name: float(np.mean(values)) for name, values in errors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--keep", type=Path, metavar="MODEL", help="where the model stays")
    given, flags = parser.parse_known_args()
    train, val = given.folder / "train", given.folder / "val"
    images, labels = expand(train / "images"), expand(train / "labels", "labels")
    with tempfile.TemporaryDirectory() as scratch:
        model = given.keep or Path(scratch) / "model.safetensors"
        if not model.exists():
            call(
                *("train", "--images", *images[:_FIT], "--labels", *labels[:_FIT]),
                *("--val-images", *images[_FIT:], "--val-labels", *labels[_FIT:]),
                *("-o", model, "--minutes", given.minutes, *flags),
            )
        tried = {way: score(model, images[_FIT:], train, way) for way in _WAYS}
        way = min(tried, key=lambda each: tried[each]["rand_error"])
        scores = score(model, expand(val / "images"), val, way)
    row = {"minutes": given.minutes, "flags": flags, "chosen": way, **scores}
    RESULTS.write_text(json.dumps(row, indent=1) + "\n")
    print(
        "| minutes | chosen | adapted Rand error | as drawn | pixel error |\n|---|---|---|---|---|"
    )
    chosen = " ".join(map(str, way))
    errors = " | ".join(f"{value:.4f}" for value in scores.values())
    print(f"| {given.minutes:g} | {chosen} | {errors} |")


if __name__ == "__main__":
    main()
