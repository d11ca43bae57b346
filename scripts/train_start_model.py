"""Train a start model that comes with the package.

    python scripts/train_start_model.py NAME DATA -o NAME.safetensors [--minutes 36] [--seed 0]
        [--start-from MODEL] [--architecture unet] [--preset wide]

NAME is one of `SETS`. DATA holds the openly licensed sets named there, each with `train/images` and
`train/labels` of the same stems; nothing of their `val` is read. Grey images become three equal
channels, so that one network takes any number of them; small cells are shown twice as large and
large ones half as large, as prediction does by itself. Small sets are repeated, so that each look
is seen often.
The weights are kept as float16; the card tells data, seed and scores on what was held out. Where
it was stopped or killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from napari_unet.core.checkpoint import Model, load_model, save_model
from napari_unet.core.config import AugmentConfig, InstanceConfig, TrainConfig
from napari_unet.core.events import exhaust
from napari_unet.core.file_pairs import pair_by_stem
from napari_unet.core.label_files import read_labels
from napari_unet.core.listing import expand
from napari_unet.core.metrics import evaluate
from napari_unet.core.models.zoom import COMMON, find_zoom
from napari_unet.core.pixels import read_image
from napari_unet.core.prediction import gather
from napari_unet.core.resumable import is_resumable
from napari_unet.core.starting import cell_diameters
from napari_unet.core.training import resume, train
from napari_unet.core.tuning import choices_for
from napari_unet.core.types import Sample, Stepped, Validated

SETS = {
    "nuclei": {"dsb2018_fluo": 1, "bbbc039": 2, "bitdepth_tissue16": 2, "dsb2018_histology": 4},
    "phase": {"usiigaci_phase": 1},
}
"""Of each start model the sets and how often each image is taken.

Licences: CC0, CC0, Apache-2.0, CC0; MIT.
"""
AUGMENT = {
    "nuclei": AugmentConfig(scale=1.6, intensity=0.35, noise=0.06, blur=1.5, mix=1.0),
    "phase": AugmentConfig(
        intensity=0.25
    ),  # of one microscope: what it has never shown only costs time
}
CHOICES = {
    "threshold": (0.6, 0.5, 0.4, 0.3),
    "min_score": (0.25, 0.4, 0.5, 0.6),
    "neck": (0.4, 0.5, 0.6, 0.7),
    "overlap": (0.5, 0.3, 0.4, 0.6, 0.7),
}


def read_set(folder: Path) -> list[Sample]:
    """All training images of a set, in three channels, as they are."""
    images, labels = expand(folder / "images"), expand(folder / "labels", "labels")
    samples = []
    for image, truth in pair_by_stem(images, labels):
        pixels = read_image(image)
        if len(pixels) == 1:
            pixels = np.repeat(pixels, 3, axis=0)
        samples.append(Sample(pixels, read_labels(truth), name=str(image)))
    return samples


def match_size(sample: Sample) -> Sample:
    """The same image, larger or smaller by a factor of the network's, with cells of common size."""
    diameters = cell_diameters([sample])
    zoom = find_zoom(float(np.median(diameters))) if len(diameters) else 1.0
    if zoom == 1:
        return sample
    image = torch.from_numpy(sample.image.astype(np.float32))[None]
    labels = torch.from_numpy(sample.labels.astype(np.float64))[None, None]
    height, width = (round(zoom * n) for n in sample.labels.shape)
    grown = functional.interpolate(labels, (height, width), mode="nearest-exact")[0, 0]
    mode = {"mode": "area"} if zoom < 1 else {"mode": "bilinear", "align_corners": False}
    seen = functional.interpolate(image, (height, width), **mode)[0].numpy()
    return dataclasses.replace(sample, image=seen, labels=grown.numpy().astype(np.int32))


def split(samples: list[Sample], fraction: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Hold some images of a set out."""
    order = np.random.default_rng(seed).permutation(len(samples))
    count = max(2, round(fraction * len(samples)))
    return [samples[i] for i in order[count:]], [samples[i] for i in order[:count]]


def choose_instances(model: Model, samples: list[Sample]) -> InstanceConfig:
    """What of `CHOICES` has the highest mean AP on images as they are.

    What is found in them is found as prediction does it.
    """
    seen = [exhaust(gather(model, sample.image)).evidence() for sample in samples]
    truth = [sample.labels for sample in samples]

    def score(config: InstanceConfig) -> float:
        found = [each.label(config).labels for each in seen]
        return float(evaluate(truth, found)["mean_ap"])

    choices = choices_for(model.card.evidence, CHOICES)
    chosen = itertools.product(*choices.values())
    ways = (InstanceConfig(**dict(zip(choices, each, strict=True))) for each in chosen)
    return max(ways, key=score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SETS)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--start-from")
    parser.add_argument("--architecture", default="unet")
    parser.add_argument("--preset", default="wide")
    parser.add_argument("--minutes", type=float, default=36)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sets = SETS[given.name]
    fit: list[Sample] = []
    judge: list[Sample] = []
    as_they_are: list[Sample] = []
    for name, times in sets.items():
        kept, held_out = split(read_set(given.data / name / "train"), 0.1, given.seed)
        fit += times * [match_size(sample) for sample in kept]
        judge += [match_size(sample) for sample in held_out]
        as_they_are += held_out
    config = TrainConfig(
        minutes=given.minutes,
        seed=given.seed,
        augment=AUGMENT[given.name],
        validations=24,
        keep_best=False,  # late looks differ by chance, and the loss still falls
        fine_tuning=0.5,  # what it starts from need not be kept
    )
    if is_resumable(given.output):
        work = resume(fit, given.output, validation=judge)
    else:
        work = train(
            fit, config, architecture=given.architecture, preset=given.preset,
            start_from=given.start_from, validation=judge, output=given.output,
        )  # fmt: skip
    model = exhaust(work, say)
    card = dataclasses.replace(model.card, any_channels=True, any_size=True, diameter=COMMON)
    instances = choose_instances(Model(model.segmenter, card), as_they_are)
    training = {**card.training, "data": list(sets), "images": len(fit)}
    card = dataclasses.replace(card, instances=instances, training=training)
    model.segmenter.net.half()
    save_model(Model(model.segmenter, card), given.output)
    print(load_model(given.output).card.scores, torch.__version__)


def say(event: object) -> None:
    if isinstance(event, Validated) or (isinstance(event, Stepped) and event.step % 100 == 0):
        print(event, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
