"""Panels of post-processing: FSC and Guinier plot."""

from __future__ import annotations

import numpy as np

from cryosnake.io.star import read_star
from cryosnake.pages.blocks.charts import Series, chart
from cryosnake.pages.blocks.panel import DOUBTFUL, GOOD, Panel
from cryosnake.pages.panels.refinement import GOLD, fsc_guides, limited
from cryosnake.pages.panels.view import JobView


def postprocess_fsc(job: JobView) -> Panel | None:
    """Return the FSC curves of post-processing."""
    if not job.has("postprocess.star"):
        return None
    tables = read_star(job.path / "postprocess.star")
    table, frequency = tables["fsc"], tables["fsc"]["rlnResolution"].to_numpy(float)[1:]
    resolution = float(tables["general"]["rlnFinalResolution"].iloc[0])
    curve = "FourierShellCorrelation"
    names = {"corrected for the mask": f"rln{curve}Corrected", "inside the mask": f"rln{curve}MaskedMaps",
             "unmasked": f"rln{curve}UnmaskedMaps",
             "phases randomised": f"rlnCorrected{curve}PhaseRandomizedMaskedMaps"}
    series = [Series(name=name, x=frequency, y=table[label].to_numpy(float)[1:], colour=colour)
              for colour, (name, label) in enumerate(names.items()) if label in table.columns]
    randomised = table[names["phases randomised"]].to_numpy(float)[1:] if len(series) == 4 else np.zeros(1)
    tight = bool(np.any(randomised[frequency >= 1.0 / resolution][:3] > GOLD)) if len(series) == 4 else False
    note = limited(series[0].y) if series else ""
    return Panel(title="Resolution", level=DOUBTFUL if tight or note else GOOD, blocks=[
        chart("FSC of the half maps", ("resolution, Å", "FSC"), series, x_kind="resolution", y_range=(0.0, 1.0),
              guides=fsc_guides(resolution))],
        verdict=f"{resolution:.2f} Å at FSC {GOLD}, corrected for the effect of the mask.{note}"
        + (" With randomised phases the masked maps still correlate there: the mask is too tight or too sharp." if tight
           else ""),
        caption="Good: the corrected curve falls once and smoothly, and that of randomised phases is near 0 where it "
        "falls. Bad: randomised phases that correlate (the mask itself does), a curve that rises again.")


def guinier(job: JobView) -> Panel | None:
    """Return the Guinier plot of post-processing, with the line whose slope is the B-factor."""
    if not job.has("postprocess.star"):
        return None
    tables = read_star(job.path / "postprocess.star")
    general, table = tables["general"].iloc[0], tables.get("guinier")
    if table is None:
        return None
    squared = table["rlnResolutionSquared"].to_numpy(float)
    names = {"as refined": "Original", "weighted by the FSC": "Weighted", "sharpened": "Sharpened"}
    series = []
    for colour, (name, label) in enumerate(names.items()):
        values = table[f"rlnLogAmplitudes{label}"].to_numpy(float)
        shown = values > -50.0  # -99 where there is no signal
        series.append(Series(name=name, x=squared[shown], y=values[shown], colour=colour))
    if "rlnFittedSlopeGuinierPlot" in general:
        slope, start = float(general["rlnFittedSlopeGuinierPlot"]), float(general["rlnFittedInterceptGuinierPlot"])
        fitted = squared[(squared > 0.01) & (squared < float(general["rlnFinalResolution"]) ** -2)]
        series.append(Series(name="fitted line", x=fitted, y=start + slope * fitted, colour=3))
    b_factor = float(general["rlnBfactorUsedForSharpening"])
    odd = b_factor > 0 or b_factor < -400
    words = f"B-factor −{abs(b_factor):.0f} Å²." if b_factor < 0 else "It was not sharpened." if b_factor == 0 else \
        f"B-factor {b_factor:.0f} Å², which blurs."
    return Panel(title="Guinier plot", level=DOUBTFUL if odd else "", verdict=words,
                 blocks=[chart("Amplitudes", ("1/d², Å⁻²", "ln amplitude"), series)],
                 caption="The slope beyond 10 Å is the B-factor. Usual: −30 to −200 Å² (the better the data, the "
                 "smaller). Good: the sharpened curve is flat up to the resolution. Bad: it rises, so noise is "
                 "amplified.")
