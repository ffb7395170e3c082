"""Ranking of classes: a score of each class from the spectra of its half averages, without training.

Five questions, each answered by a number from 0 to 1; a class's score is its worst answer.

The first four may drop a class. As members are judged one by one, too (`membership`), it is dropped only where that is
clear: a score is 0.5 where the odds of the worst answer are 1 : 3. The last lowers the score to 0.5 at the least.

agreement   do the halves agree more than noise that was aligned to the same average?
signal      does a particle of the class carry as much information beyond its outline as those of the other classes?
contrast    is as much mass in the picture? A projection's lowest frequencies show the whole mass, whatever the view;
            empty ice has none, lumps of ice have many times as much (Kimanius et al. 2021, Biochem. J. 478, 4169, let a
            trained network judge by similar quantities)
resolution  would the average, of as many particles as the others, reach at least half their resolution?
extent      is the average as compact? Pictures that have nothing in common spread over the mask; so does an elongated
            particle's side view, which is why this drops no class

"The others" are the weighted median of all classes, weights being particles × agreement: some classes must be of
particles, but these need not be the majority.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.refine.classes.validation import correlation, resolved_shells, true_correlation

CRITERIA = ("agreement", "signal", "contrast", "resolution", "extent")
_HALF = {"agreement": (0.3, 4), "signal": (0.25, 3), "contrast": (1.0 / 6.0, 3), "resolution": (0.5, 4)}
_FEWEST = 3  # members from which halves can be made
_ENOUGH = 30  # members for which halves are expected to agree; halves of fewer agree less, which is not a defect
KEEP = 0.5  # minimum score of a class worth keeping
_LENIENCE = 3.0  # times the odds of the worst answer are those of the score
_SPREAD = 1.15  # extent over the usual that is half way to doubt; views of globular particles have 0.8 to 1.1
_SPREAD_STEEPNESS = 24
_REASONS = {"agreement": "its halves agree no more than aligned noise would", "signal": "little beyond an outline",
            "contrast": "far more or less mass than the other classes show", "resolution": "blurred beside the others",
            "extent": "spread over more than the particle"}


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Scores of classes, all (classes,).

    Attributes
    ----------
    score : float64
        0 … 1; at least `KEEP` for a class worth keeping.
    answers : dict of float64
        By the criteria above.
    worst : int64
        Index in CRITERIA of the lowest answer; −1 for classes of fewer than three particles.
    shells : float64
        Resolved shells of the averages of all members.
    extent : float64
        Extent of the averages over that of most particles' classes.
    """

    score: np.ndarray
    answers: dict[str, np.ndarray]
    worst: np.ndarray
    shells: np.ndarray
    extent: np.ndarray

    def reason(self, number: int) -> str:
        """Return the reason why the class (counted from 0) is not kept; empty if it is."""
        if self.worst[number] < 0:
            return "too few particles to tell"
        return "" if self.score[number] >= KEEP else _REASONS[CRITERIA[self.worst[number]]]


def rank(spectra: Mapping[str, np.ndarray], counts: np.ndarray, outline: int, most: np.ndarray) -> Ranking:
    """Return the ranking of classes.

    Parameters
    ----------
    spectra
        (classes, shells) each: "cross" and "norm" of half averages (`validation.cross_spectra`), "null_cross" and
        "null_norm" of aligned noise, "ctf2" the mean squared CTF over the noise power; and (classes,) each: "members",
        the number in both halves, and "extent" of the averages, see `membership.extents`.
    counts : (classes,)
        Particles of each class.
    outline : int
        Last shell that shows no more than the particle's size: box length over diameter.
    most : (classes,)
        Last shells in which the expectation step saw more signal than noise: no average counts as better.
    """
    members, filled = spectra["members"], spectra["members"] >= _FEWEST
    true = true_correlation(correlation(spectra["cross"], spectra["norm"]),
                            correlation(spectra["null_cross"], spectra["null_norm"]))
    true[~filled] = 0.0
    shells = np.minimum(resolved_shells(_of_more_members(true, counts / np.maximum(members, 1))), most)
    weight = spectra["ctf2"] * np.arange(true.shape[1])
    power = weight * spectra["cross"]
    gain = np.maximum(power - weight * spectra["null_cross"], 0.0)
    index = np.arange(true.shape[1])
    beyond = (index > outline) & (index <= resolved_shells(true)[:, None])
    low = (index >= 1) & (index <= outline)
    contrast = np.maximum(power[:, low].sum(1), 0.0) / np.maximum(weight[:, low].sum(1), 1e-30)
    signal = (gain * beyond).sum(1)
    known = (index >= 1) & (index <= max(_weighted_median(shells, counts * filled), 1))
    # Small classes are not penalised for what they lack because of few particles.
    fair = _of_more_members(true, np.maximum(_ENOUGH / np.maximum(members, 1), 1.0))
    agreement = np.clip(fair[:, known].mean(1), 0.0, 1.0)
    usual = max(_weighted_median(members.astype(np.float64), counts * filled), _ENOUGH)
    reach = resolved_shells(_of_more_members(true, np.maximum(usual / np.maximum(members, 1), 1.0)))
    reach = np.minimum(np.maximum(shells, reach), most)
    trust = counts * agreement * filled
    ratio = contrast / max(_weighted_median(contrast, trust), 1e-30)
    values = {
        "agreement": agreement,
        "signal": signal / max(_weighted_median(signal, trust), 1e-30),
        "contrast": np.minimum(ratio, 1.0 / np.maximum(ratio, 1e-30)),
        "resolution": reach / max(_weighted_median(reach, trust), 1.0),
    }
    answers = {name: np.where(filled, _grade(values[name], *_HALF[name]), 0.0) for name in values}
    least = np.min([*answers.values()], axis=0)
    usual_extent = _weighted_median(spectra["extent"], counts * (least >= KEEP))
    extent = spectra["extent"] / usual_extent if usual_extent > 0 else np.ones(len(counts))
    answers["extent"] = np.where(filled, 0.5 + 0.5 / (1.0 + (extent / _SPREAD) ** _SPREAD_STEEPNESS), 0.0)
    score = np.minimum(_LENIENCE * least / (_LENIENCE * least + 1.0 - least), answers["extent"])
    table = np.stack([answers[name] for name in CRITERIA])
    worst = np.where(filled, table.argmin(0), -1)
    return Ranking(score=score, answers=answers, worst=worst, shells=shells, extent=extent)


def _of_more_members(curves: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the correlations that half averages of `times` (classes,) as many members would have."""
    inside = np.clip(curves, -0.99, 0.999)  # of signal and noise: power ratio r / (1 − r), which grows with the members
    ratio = inside / (1.0 - inside) * times[:, None]
    return ratio / (1.0 + ratio)


def _grade(values: np.ndarray, half: float, steepness: int) -> np.ndarray:
    """Return 0.5 at `half`, rising to 1."""
    power = np.maximum(values, 0.0) ** steepness
    return power / (power + half**steepness)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    if weights.sum() <= 0:
        return 0.0
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])
