"""A training that was stopped: all that its next step depends on, in one file beside its model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_unet.core.dataset import Judged, Split, split_again
from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.resumable import state_path
from napari_unet.core.types import Sample

VERSION = 1


@dataclass(frozen=True, eq=False)
class Interrupted:
    """Tensors by name, and facts that JSON can hold."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    @classmethod
    def of(
        cls,
        parts: Mapping[str, Mapping[str, Tensor]],
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        split: Split,
    ) -> Interrupted:
        """Put together parts (such as a network's state), single tensors, facts and the split."""
        flat = {f"{part}/{name}": v for part, named in parts.items() for name, v in named.items()}
        whole: list[Any] = []
        for number, judged in enumerate(split.judged):
            if isinstance(judged, np.ndarray):
                flat[f"judged/{number}"] = torch.from_numpy(np.packbits(judged))
                whole.append(None)
            else:
                whole.append(judged)
        facts = {**facts, "version": VERSION, "judged": whole, "held_out": split.words}
        return cls({**flat, **tensors}, facts)

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, by their names in it."""
        prefix = f"{name}/"
        return {
            key.removeprefix(prefix): value
            for key, value in self.tensors.items()
            if key.startswith(prefix)
        }

    def split(self, samples: Sequence[Sample], validation: Sequence[Sample]) -> Split:
        """What was held out, held out again.

        Raises
        ------
        InputError
            If these are not the samples it was begun with, followed by any others.
        """
        begun, known = self.facts["samples"], self.facts["judged"]
        _check_same(begun[: len(known)], samples[: len(known)])
        _check_same(begun[len(known) :], validation)
        judged: list[Any] = []
        for number, (sample, part) in enumerate(zip(samples, known, strict=False)):
            if part is not None:
                judged.append(part)
                continue
            bits = np.unpackbits(self.tensors[f"judged/{number}"].numpy(), count=sample.labels.size)
            judged.append(bits.reshape(sample.labels.shape).astype(bool))
        masks: Judged = tuple(judged)
        return split_again(samples, masks, self.facts["held_out"], validation)


def identify(samples: Sequence[Sample]) -> list[list[Any]]:
    """File name without its folder, and shape, of each image."""
    return [[Path(sample.name).name, *sample.image.shape] for sample in samples]


def _check_same(begun: Sequence[Any], given: Sequence[Sample]) -> None:
    found = identify(given)
    for number, was in enumerate(begun):
        if number >= len(found) or found[number] != was:
            instead = given[number].name if number < len(found) else "missing"
            raise InputError(
                f"The training was begun with {was[0]} ({' × '.join(map(str, was[1:]))}) as image "
                f"{number + 1}, and that is {instead} here: give the same images in the same order."
            )


def keep(state: Interrupted, model: Path) -> None:
    """Write it beside the model, whole or not at all."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    header = {"training": json.dumps(state.facts)}
    try:
        write_atomically(state_path(model), lambda file: save_file(tensors, file, header))
    except safetensors.SafetensorError as error:
        raise InputError(f"The training cannot be kept beside {model} ({error}).") from error


def read_interrupted(model: Path | str) -> Interrupted:
    """Read what `keep` wrote.

    Raises
    ------
    InputError
        If there is nothing, or it cannot be read.
    """
    path = state_path(model)
    if not path.exists():
        raise InputError(
            f"No stopped training of {model} is known: it has ended, or was never begun."
        )
    try:
        with safetensors.safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["training"])
        tensors = load_file(path)
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(f"The stopped training in {path} is damaged: train anew.") from error
    if facts["version"] > VERSION:
        raise InputError(f"{path} was written by a newer napari-unet: update this one to use it.")
    return Interrupted(tensors, facts)


def forget(model: Path) -> None:
    """Delete what is kept: the training has ended."""
    state_path(model).unlink(missing_ok=True)
