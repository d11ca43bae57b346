"""Where each two of several predictions of the same images differ, as label files and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

from napari_unet.core.comparison import Difference, differ, explain_sample
from napari_unet.core.label_files import read_labels, write_labels
from napari_unet.core.types import Sample


@dataclass(frozen=True)
class Tally:
    """How many cells one has right and another has not, over all held-out images.

    `found_alone` true cells that `name` finds and `against` misses, `false_alone` false ones that
    `name` has and `against` has not.
    """

    name: str
    against: str
    found_alone: int
    false_alone: int

    def row(self) -> dict[str, Any]:
        """As a row of a table."""
        return {
            "model": self.name,
            "against": self.against,
            "found_alone": self.found_alone,
            "false_alone": self.false_alone,
        }


def write_disagreements(
    samples: Sequence[Sample], predicted: Mapping[str, Sequence[Path]], folder: Path
) -> tuple[Tally, ...]:
    """Find and write where each two predictions differ by the truth; one image is held at a time.

    Parameters
    ----------
    samples : sequence of Sample
        Their images are not looked at.
    predicted : mapping of name to label files
        A file for each sample.
    folder : Path
        Of each two, A and B, it gets the labels `A_finds_B_misses/IMAGE.tif`, cells under the
        numbers of the truth, and `false_in_A_not_in_B/IMAGE.tif`, cells under the numbers of the
        prediction; see `comparison.DifferenceMap`. IMAGE is that of the predicted file.

    Returns
    -------
    tuple of Tally
        Of each ordered pair.

    Raises
    ------
    InputError
        If a file cannot be read or written, or nothing is known of a sample.
    """
    counts: Counter[str] = Counter()
    for at, sample in enumerate(samples):
        maps = {
            name: explain_sample(sample, read_labels(files[at]))
            for name, files in predicted.items()
        }
        for one, other in combinations(maps, 2):
            found = differ(maps[one], maps[other])
            for kind, part in {
                Difference.FIRST_FINDS: _found_by(one, other),
                Difference.SECOND_FINDS: _found_by(other, one),
                Difference.FIRST_INVENTS: _false_in(one, other),
                Difference.SECOND_INVENTS: _false_in(other, one),
            }.items():
                write_labels(folder / part / predicted[one][at].name, found.labels[kind])
                counts[part] += len(found.places[kind])
    return tuple(
        Tally(a, b, counts[_found_by(a, b)], counts[_false_in(a, b)])
        for a, b in permutations(predicted, 2)
    )


def _found_by(one: str, other: str) -> str:
    return f"{one}_finds_{other}_misses"


def _false_in(one: str, other: str) -> str:
    return f"false_in_{one}_not_in_{other}"
