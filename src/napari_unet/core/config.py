"""The only place where a default stands.

Each field carries its label, unit, limits and the reason for its default; the docks build
their forms from it, the command line its flags, and the model file keeps the values used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from napari_unet.core.errors import InputError

ClassWeights: TypeAlias = Literal["balanced", "none"] | tuple[float, ...]
EvidenceKind: TypeAlias = Literal["maps", "candidates"]
"""What a network gives to make cells of: maps of pixels, or candidates for whole cells."""


def option(
    default: Any,
    *,
    label: str,
    why: str,
    unit: str = "",
    limits: tuple[float, float] | None = None,
    choices: Sequence[Any] | None = None,
    advanced: bool = True,
    evidence: EvidenceKind | None = None,
) -> Any:
    """A dataclass field that can show itself in a form and on the command line.

    What is of one kind of `evidence` says nothing to a model that gives another, see `applies`.
    """
    metadata = {
        "evidence": evidence,
        "label": label,
        "why": why,
        "unit": unit,
        "limits": limits,
        "choices": choices,
        "advanced": advanced,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class WeightConfig:
    """Weight map w = w_c + w0·exp(−(d1+d2)²/2σ²) + w1·exp(−d1²/2σ1²), see `border_weights`.

    The last term is that of Falk et al. 2019; w1 = 0 gives the map of Ronneberger et al. 2015.
    """

    w0: float = option(
        10.0,
        label="w0",
        why="Ronneberger et al. 2015: background between cells that touch counts most",
        limits=(0.0, 100.0),
        advanced=False,
    )
    sigma: float = option(
        5.0,
        label="σ",
        unit="px",
        why="Ronneberger et al. 2015: about the width of the gaps between cells",
        limits=(0.5, 30.0),
        advanced=False,
    )
    class_weights: ClassWeights = option(
        "none",
        label="Class weights",
        why="balanced, N/(K·n_k), made cells too fat: AP75 0.44 against 0.59 on DSB 2018 nuclei",
        choices=("balanced", "none"),
        advanced=False,
    )
    ridge: bool | Literal["half"] = option(
        True,
        label="Cut ridges",
        why="touching cells have no background between them: a line of it is cut where they meet",
        advanced=False,
    )
    inside: bool = option(
        False, label="Also inside cells", why="the formula to the letter, on every pixel"
    )
    w1: float = option(
        0.0, label="w1", why="weight of the rim of Falk et al. 2019 (0: none)", limits=(0.0, 10.0)
    )
    sigma1: float = option(10.0, label="σ1", unit="px", why="Falk et al. 2019", limits=(0.5, 60.0))


WEIGHT_PRESETS = {
    "measured": WeightConfig(),
    "paper-2015": WeightConfig(class_weights="balanced"),
    # w = 1 on foreground; v_bal + w0·exp(…) + (1 − v_bal)·exp(−d1²/2σ1²) elsewhere, v_bal = 0.1
    "falk-2019": WeightConfig(
        w0=50.0, sigma=6.0, class_weights=(0.1, 1.0), ridge="half", w1=0.9, sigma1=10.0
    ),
}


@dataclass(frozen=True)
class NormalizeConfig:
    """Grey values → about 0 … 1: one pair of percentiles per image and channel, then a curve."""

    low: float = option(
        1.0, label="Black at", unit="%", why="1 % of the pixels may be darker", limits=(0, 50)
    )
    high: float = option(
        99.8, label="White at", unit="%", why="specks do not set the scale", limits=(50, 100)
    )
    stretch: float = option(
        10.0,
        label="Stretch",
        why="asinh curve that lifts dim cells beside bright ones; 0 for none",
        limits=(0, 1000),
    )
    polarity: Literal["auto", "bright", "dark"] = option(
        "auto",
        label="Cells are",
        why="an image that is bright for the most part is turned, so that stained cells are bright",
        choices=("auto", "bright", "dark"),
    )


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of a training tile; geometry in one resampling pass, then grey values."""

    elastic: float = option(
        10.0,
        label="Elastic",
        unit="px",
        why="sd of the displacements on a 3×3 grid, Ronneberger et al. 2015",
        limits=(0, 50),
    )
    rotate: bool = option(True, label="Rotate", why="cells have no upside")
    flip: bool = option(True, label="Mirror", why="cells have no handedness in a projection")
    scale: float = option(
        1.3, label="Scale", unit="×", why="cells vary in size; ÷1.3 … ×1.3", limits=(1.0, 3.0)
    )
    intensity: float = option(
        0.1,
        label="Grey values",
        why="sd of gain, offset and gamma, of each channel; with 0.25 the AP50 after 300 steps was "
        "0.44 instead of 0.51 on stained tissue",
        limits=(0.0, 1.0),
    )
    noise: float = option(
        0.03, label="Noise", why="largest sd of added noise, white = 1", limits=(0.0, 0.5)
    )
    blur: float = option(
        0.0, label="Blur", unit="px", why="largest sd of a blur, half of the tiles", limits=(0, 10)
    )
    mix: float = option(
        0.0,
        label="Mix channels",
        why="towards random means of all channels; where their colours tell nothing",
        limits=(0.0, 1.0),
    )


@dataclass(frozen=True)
class InstanceConfig:
    """From probabilities to cells; can be changed after prediction without running the net."""

    threshold: float = option(
        0.5,
        label="Threshold",
        why="a pixel is cell where its probability is above this",
        limits=(0.01, 0.99),
        advanced=False,
    )
    min_size: int = option(
        20,
        label="Smallest cell",
        unit="px",
        why="smaller objects are debris",
        limits=(0, 100_000),
        advanced=False,
    )
    min_score: float = option(
        0.25,
        label="Least sure",
        why="specks and smears of which no pixel is surely deep in a cell are left out",
        limits=(0.0, 1.0),
        advanced=False,
    )
    split: Literal["watershed", "none"] = option(
        "watershed",
        label="Split",
        why="a watershed parts cells that the net joined: +0.05 AP50 on DSB 2018 nuclei",
        choices=("watershed", "none"),
        evidence="maps",
    )
    neck: float = option(
        0.7,
        label="Neck",
        why="two parts are two cells where the neck between them is less deep than this × the "
        "shallower part: 0 parts nothing. At 0.5 nets trained for minutes left a fifth more of "
        "the nuclei that touch joined; one trained for long parts too much at 0.7",
        limits=(0.0, 1.0),
        evidence="maps",
    )
    overlap: float = option(
        0.5,
        label="Overlap",
        why="a cell with more than this share of it in surer ones, or of its box in common with "
        "one of them, is one of these found again",
        limits=(0.1, 0.7),  # with more in common the network keeps one box
        evidence="candidates",
    )
    fill_holes: bool = option(True, label="Fill holes", why="cells have no holes")
    drop_border: bool = option(
        False, label="Drop cut cells", why="leave out cells that the image border cuts"
    )


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The budget is `steps` where it is given, else `minutes`."""

    minutes: float = option(
        2.0,
        label="Budget",
        unit="min",
        why="the learning rate falls to zero over it; the best state is kept",
        limits=(0.01, 10_000),
        advanced=False,
    )
    steps: int | None = option(
        None,
        label="Steps",
        why="instead of minutes; the same on every machine",
    )
    batch_size: int = option(4, label="Batch", unit="tiles", why="fits a laptop", limits=(1, 256))
    tile: int = option(
        256, label="Tile", unit="px", why="a few cells and their surroundings", limits=(32, 2048)
    )
    learning_rate: float = option(
        2e-3, label="Learning rate", why="AdamW with one warm-up and cosine", limits=(1e-6, 1.0)
    )
    fine_tuning: float = option(
        0.2,
        label="Fine-tuning",
        unit="×",
        why="learning rate of a model that is trained on, so that it does not forget",
        limits=(0.001, 1.0),
    )
    weight_decay: float = option(1e-4, label="Weight decay", why="AdamW", limits=(0.0, 1.0))
    optimizer: Literal["adamw", "sgd"] = option(
        "adamw",
        label="Optimiser",
        why="sgd with momentum 0.99 is the paper's",
        choices=("adamw", "sgd"),
    )
    val_fraction: float = option(
        0.2, label="Held out", why="a fifth of the paint judges the model", limits=(0.0, 0.9)
    )
    validations: int = option(
        12, label="Validations", why="about this many looks at the held-out part", limits=(1, 1000)
    )
    keep_best: bool = option(
        True,
        label="Keep the best",
        why="the state with the best held-out cells; else the last one, after very long trainings",
    )
    seed: int = option(
        0, label="Seed", why="the same seed gives the same model", limits=(0, 2**31 - 1)
    )
    device: str = option(
        "auto",
        label="Device",
        why="the GPU where there is one",
        choices=("auto", "cpu", "cuda", "mps"),
    )
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto",
        label="Precision",
        why="bfloat16 where this device has units for it",
        choices=("auto", "float32", "bfloat16"),
    )
    weights: WeightConfig = WeightConfig()
    augment: AugmentConfig = AugmentConfig()
    normalize: NormalizeConfig = NormalizeConfig()
    instances: InstanceConfig = InstanceConfig()


TRAIN_PRESETS = {
    "default": TrainConfig(),
    # half as many channels again: better outlines in twice the time; the start models'
    "wide": TrainConfig(),
    # one large tile a step, 572 px in and 388 out, high momentum: Ronneberger et al. 2015
    "paper": TrainConfig(batch_size=1, tile=384, optimizer="sgd", learning_rate=1e-3),
}


@dataclass(frozen=True)
class PredictConfig:
    """How to predict. `instances` None means as stored in the model."""

    tile: int | None = option(
        None,
        label="Tile",
        unit="px",
        why="as suits the model; smaller tiles take less memory, and see more of the image twice",
        limits=(0, 4096),
    )
    tta: bool = option(
        False,
        label="Average turns",
        why="the mean over 4 rotations × 2 mirrorings: 8 times the time, as in the paper's test",
        evidence="maps",
    )
    device: str = option(
        "auto",
        label="Device",
        why="the GPU where there is one",
        choices=("auto", "cpu", "cuda", "mps"),
    )
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto",
        label="Precision",
        why="bfloat16 where this device has units for it",
        choices=("auto", "float32", "bfloat16"),
    )
    instances: InstanceConfig | None = None


def applies(item: dataclasses.Field[Any], evidence: EvidenceKind) -> bool:
    """Whether a field says something to a model that gives this kind of evidence."""
    return item.metadata.get("evidence") in (None, evidence)


def check_limits(config: Any) -> None:
    """Raise an `InputError` where a number in a config, or one nested in it, is out of range."""
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            check_limits(value)
        elif (limits := item.metadata.get("limits")) and value is not None:
            low, high = limits
            if not low <= value <= high:
                raise InputError(
                    f"{item.metadata['label']} is {value}: choose {low:g} to {high:g}."
                )


def to_dict(config: Any) -> dict[str, Any]:
    """The values of a config dataclass as JSON-ready data."""
    return dataclasses.asdict(config)


def from_dict(kind: type[Any], values: dict[str, Any]) -> Any:
    """The inverse of `to_dict`; unknown keys, from a newer version, are left out."""
    known: dict[str, Any] = {}
    for item in dataclasses.fields(kind):
        if item.name not in values:
            continue
        value = values[item.name]
        if dataclasses.is_dataclass(item.default) and isinstance(value, dict):
            value = from_dict(type(item.default), value)
        elif isinstance(value, list):
            value = tuple(value)
        known[item.name] = value
    return kind(**known)
