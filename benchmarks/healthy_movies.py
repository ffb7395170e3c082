"""False and missed alarms about movies: python benchmarks/healthy_movies.py [FOLDER PIXEL_SIZE DOSE_PER_FRAME].

FOLDER is a simulated project with Movies/ and a gain.mrc; without it, 12 movies are simulated. Every movie is described
rightly, which must be passed over, and wrongly in each way that docs/what-is-noticed.md lists for gain, dose, contrast
and order of frames. Exit status 1 on a false alarm.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from cryosnake.io.movies import read_frames
from cryosnake.io.mrc import read_mrc
from cryosnake.jobs import options
from cryosnake.numerics.motion.frame_order import jumps
from cryosnake.numerics.motion.whole_frame import align_frames
from cryosnake.programs.micrographs.motioncorr_movie import Calibration, transform_movie
from cryosnake.programs.micrographs.movie_doubts import MovieDoubts
from cryosnake.programs.simulate.project import simulate_project

MOVIES, PIXEL_SIZE, DOSE = 12, 1.77, 3.0  # of those simulated here: number, Å, e/Å² per frame


def said(frames: list[np.ndarray], gain: np.ndarray | None, pixel_size: float, dose: float) -> str:
    """Return what is said of movies of one batch."""
    chosen = options.MotionCorrOptions(dose_per_frame=dose, gain="" if gain is None else "gain.mrc")
    doubts = MovieDoubts(options=chosen, rotation=0, pixel_size=pixel_size)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        for number, raw in enumerate(frames):
            doubts.look_at(f"movie {number}", raw, gain)
    return out.getvalue()


def whole_frame_shifts(raw: np.ndarray, gain: Path) -> np.ndarray:
    """Return the shifts of the frames (f, 2) in pixels, as MotionCorr finds them before it looks at patches."""
    chosen = options.MotionCorrOptions(dose_per_frame=DOSE, gain=str(gain))
    spectra = transform_movie(raw, "movie", Calibration(chosen, 0), chosen.bfactor, 1.0, "cpu")
    return align_frames(spectra.band_spectra, spectra.band, spectra.movie_shape, chosen.bfactor, chosen.max_shift)


def main(folder: Path, pixel_size: float, dose: float) -> int:
    """Print the counts of movies, alarms and seconds; return the exit status."""
    gain_file = next(folder.glob("**/gain.mrc"))
    gain = read_mrc(gain_file)[0]
    paths = sorted(folder.glob("Movies/*.tif*")) + sorted(folder.glob("Movies/*.mrcs"))
    found: Counter[str] = Counter()
    seconds = 0.0
    before: np.ndarray | None = None
    rng = np.random.default_rng(5)
    for path in paths:
        raw = read_frames(path)
        start = time.process_time()
        text = said([raw], gain, pixel_size, dose)
        seconds += time.process_time() - start
        inverted = (float(raw.max()) - raw).astype(np.float32)
        found["healthy"] += bool(text)
        found["gain upside down"] += "turned" in said([raw], gain[::-1], pixel_size, dose)
        found["gain by 180"] += "turned" in said([raw], gain[::-1, ::-1], pixel_size, dose)
        found["gain reciprocal"] += "reciprocal" in said([raw], 1 / gain, pixel_size, dose)
        found["no gain"] += before is not None and "not corrected" in said([before, raw], None, pixel_size, dose)
        found["dose / 10"] += "electrons" in said([raw], gain, pixel_size, dose / 10)
        found["dose x 10"] += "electrons" in said([raw] * 3, gain, pixel_size, dose * 10)
        found["pixel size x 2"] += "electrons" in said([raw] * 3, gain, 2 * pixel_size, dose)
        found["inverted"] += "inverted" in said([inverted], np.ones_like(gain), pixel_size, dose)
        before = raw
        shifts = whole_frame_shifts(raw, gain_file)
        found["healthy, by its shifts"] += jumps(shifts)
        found["frames shuffled"] += jumps(rng.permutation(shifts))  # alignment does not know the frames' order
        print(text, end="")
    print(f"{folder}: {len(paths)} movies, {seconds / max(1, len(paths)):.3f} CPU s each; said of: {dict(found)}")
    return int(found["healthy"] + found["healthy, by its shifts"] > 0)


def simulated() -> int:
    """Run on movies simulated here."""
    with tempfile.TemporaryDirectory() as name:
        simulate_project(name, movies=MOVIES, size=(1024, 1024), frames=16, pixel_size=PIXEL_SIZE, dose_per_frame=DOSE,
                         particles_per_movie=40, contaminated=0.25)
        return main(Path(name), PIXEL_SIZE, DOSE)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), *map(float, sys.argv[2:4])) if sys.argv[1:] else simulated())
