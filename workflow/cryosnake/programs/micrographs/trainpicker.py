"""TrainPicker: the picker that AutoPick uses with `method: trained`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import TrainPickerOptions
from cryosnake.numerics.backend import choose_device, to_device
from cryosnake.numerics.picking.background import working_image
from cryosnake.numerics.picking.learned import Example, features_of, learn, separation, working_pixel_size
from cryosnake.programs.micrographs.extract_inputs import read_micrograph
from cryosnake.programs.micrographs.picker_files import write_picker
from cryosnake.programs.micrographs.training_picks import TrainingPicks, checked_places, training_picks

CHANCE = 0.7  # share of places that a pick scores higher than: 0.5 for picks anywhere, 0.9 and more for good ones


def run(options: TrainPickerOptions, inputs: Mapping[str, Path], out: Path, progress: Progress) -> None:
    """Write `picker.npz` from the picks that fill one of the slots.

    Raises
    ------
    CryosnakeError
        if the picks are too few, do not fit their micrographs, or these are missing or of several pixel sizes
    """
    drawn = drawn_micrographs(training_picks(inputs, options.pixel_size), options.most_micrographs, options.seed)
    diameter = 0.5 * (options.diameter[0] + options.diameter[1])
    pixel_size = working_pixel_size(diameter, max(picks.pixel_size for picks in drawn))
    examples = []
    for number, picks in enumerate(drawn):
        progress(number, len(drawn), str(picks.micrograph))
        examples.append(example_of(picks, options, pixel_size, diameter))
    count = sum(len(example.places) for example in examples)
    print(f"learning from {count} particles on {len(examples)} micrographs, at {pixel_size:.2f} Å per pixel")
    _check_separation(separation(examples, pixel_size, diameter), drawn)
    write_picker(Path(out) / "picker.npz", learn(examples, pixel_size, diameter, options.seed))
    progress(len(drawn), len(drawn), "done")


def _check_separation(share: float, drawn: Sequence[TrainingPicks]) -> None:
    """Say how well particles are told from other places, and refuse what is hardly better than chance."""
    print(f"in the half of the micrographs that was not learned from, a particle scores higher than {share:.0%} of all "
          "other places")
    if share < CHANCE:
        raise CryosnakeError(f"the picks do not show what a particle is: they score higher than {share:.0%} of all "
                             f"other places, 50% would be chance. Look at them on {drawn[0].micrograph}: were they "
                             "picked at another pixel size, or on other micrographs of the same names? Is the diameter "
                             "right?")


def drawn_micrographs(picks: Sequence[TrainingPicks], most: int, seed: int) -> list[TrainingPicks]:
    """Return at most this many micrographs, drawn by the seed, in the order of their names."""
    if len(picks) <= most:
        return list(picks)
    chosen = np.random.default_rng(seed).permutation(len(picks))[:most]
    return [picks[index] for index in sorted(chosen)]


def example_of(picks: TrainingPicks, options: TrainPickerOptions, pixel_size: float, diameter: float) -> Example:
    """Return features and places of one micrograph at a working pixel size (Å)."""
    path, micrograph = read_micrograph({"rlnMicrographName": str(picks.micrograph)})
    places = checked_places(picks, micrograph.shape)
    micrograph = to_device(micrograph if options.invert else -micrograph, choose_device(options.device))
    try:
        working = working_image(micrograph, picks.pixel_size, pixel_size)
    except ValueError as error:
        raise CryosnakeError(f"{path}: {error}; remove its picks") from error
    return Example(features_of(working, diameter), places / np.array([working.step[1], working.step[0]]))
