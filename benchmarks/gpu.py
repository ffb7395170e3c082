#!/usr/bin/env python3
"""Refinement on a GPU: throughput, fraction of the card's limit, precision, and whole jobs beside the CPU's.

    PYTHONPATH=workflow python benchmarks/gpu.py [--parts card,steps,precision,jobs] [--particles 2000]

Every part runs even when one before it failed. Needs CuPy, NumPy, SciPy, numba and pandas. Takes about two minutes,
half of it the compilation of the CPU's kernels.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.io.mrc import read_mrc
from cryosnake.jobs import class2d as class2d_job
from cryosnake.jobs import refine3d as refine3d_job
from cryosnake.numerics import healpix
from cryosnake.numerics.backend import product, to_device
from cryosnake.numerics.ctf import Microscope
from cryosnake.numerics.euler import angular_distance, euler_to_matrix
from cryosnake.numerics.fsc import fsc, last_shell_above
from cryosnake.numerics.projection import band_limited_transform, central_slices
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import shift_grid, sphere_grid
from cryosnake.numerics.refine.grids.images import ctf_at, soft_disc
from cryosnake.numerics.refine.grids.references import map_reference
from cryosnake.numerics.refine.kernels import dispatch
from cryosnake.numerics.refine.search import expectation, search
from cryosnake.numerics.refine.search.schedule import coarse_size
from cryosnake.numerics.refine.sums.maximisation import finish_sums
from cryosnake.numerics.symmetry import operators
from cryosnake.programs.class2d import recipe as class2d
from cryosnake.programs.optics.groups import optics_groups
from cryosnake.programs.refine3d import recipe as refine3d
from cryosnake.programs.refinement import estep as refine_estep
from cryosnake.programs.refinement.device_images import half_precision_is_safe
from cryosnake.programs.refinement.execution import Execution
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.state import first_assignments, first_statistics
from cryosnake.programs.refinement.step import ExpectationStep, SearchPlan
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from cryosnake.simulation.density import density_from_atoms
from cryosnake.simulation.protein import pseudo_protein

# Data sheets, dense: fp32 and TF32 TFLOP/s, memory TB/s.
LIMITS = {"H200": (67.0, 495.0, 4.8), "H100": (67.0, 495.0, 3.35), "A100": (19.5, 156.0, 2.0)}
WIDTH, DIAMETER = 224.0, 160.0  # Å: box and particle
MICROSCOPE = Microscope(voltage=300.0, cs=2.7, amplitude_contrast=0.1)


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Run a part of the benchmark; an error is reported and does not stop the others."""
    begin = time.perf_counter()
    print(f"== {name}", flush=True)
    try:
        yield
    except Exception:
        print(f"FAILED {name}:\n" + "".join(traceback.format_exc().splitlines(keepends=True)[-14:]))
    print(f"   ({time.perf_counter() - begin:.1f} s)", flush=True)


def synchronised() -> float:
    """Return the time when the GPU has done all that it was given."""
    import cupy

    cupy.cuda.Device().synchronize()
    return time.perf_counter()


def measured(work: Callable[[], Any], repeats: int = 3) -> float:
    """Return the seconds that a call takes on the GPU, the least of several after a first one."""
    work()
    times = []
    for _ in range(repeats):
        begin = synchronised()
        work()
        times.append(synchronised() - begin)
    return min(times)


def limits() -> tuple[float, float, float]:
    """Return the card's limits from its data sheet; of an unknown one, the H100's."""
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return next((values for key, values in LIMITS.items() if key in name), LIMITS["H100"])


def card(_given: argparse.Namespace) -> None:
    """Print what card this is, and what plain operations reach of its limits."""
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    single, tensor, memory = limits()
    print(f"   {name}, {cupy.cuda.Device().mem_info[1] / 2**30:.0f} GiB, CuPy {cupy.__version__}; data sheet: fp32 "
          f"{single:g}, TF32 {tensor:g} TFLOP/s, memory {memory:g} TB/s")
    left, right = (cupy.random.standard_normal((8192, 8192), cupy.float32) for _ in range(2))
    for label, reduced, limit in (("fp32", False, single), ("TF32", True, tensor)):
        rate = 2 * 8192**3 / measured(lambda r=reduced: product(left, right, r)) / 1e12
        print(f"   matmul 8192³ {label}: {rate:.0f} TFLOP/s, {rate / limit:.0%} of the limit")
    rate = 2 * left.nbytes / measured(left.copy) / 1e12
    print(f"   copy: {rate:.2f} TB/s, {rate / memory:.0%} of the limit")


def synthetic(count: int, box: int, snr: float, seed: int = 1) -> tuple[Execution, np.ndarray, np.ndarray]:
    """Return the work on particles with white noise, their true poses, and the map that they are projections of."""
    rng, pixel = np.random.default_rng(seed), WIDTH / box
    volume = density_from_atoms(pseudo_protein("C1", 1500, seed), box, pixel, 80.0)
    poses = euler_to_matrix(rng.uniform(-180, 180, count), np.degrees(np.arccos(rng.uniform(-1, 1, count))),
                            rng.uniform(-180, 180, count))
    band = full_band(box)
    defocus = {"u": rng.uniform(8e3, 2e4, count), "angle": np.zeros(count), "phase_shift": np.zeros(count),
               "b_factor": np.zeros(count), "scale": np.ones(count)}
    defocus["v"] = defocus["u"] - 200.0
    transform, images = band_limited_transform(volume, box // 2), np.empty((count, box, box), np.float32)
    for begin in range(0, count, 500):
        rows = slice(begin, begin + 500)
        real, imaginary = central_slices(transform, poses[rows], band.kx, band.ky)
        ctf = ctf_at(band, {key: value[rows] for key, value in defocus.items()}, pixel, MICROSCOPE)
        full = np.zeros((len(real), box, box // 2 + 1), np.complex64)
        full[:, band.ky.astype(int) % box, band.kx.astype(int)] = (real + 1j * imaginary) * ctf
        images[rows] = np.fft.fftshift(np.fft.irfft2(full, s=(box, box)), axes=(1, 2))
    noise = float(np.sqrt(images.var() / snr))
    images = (images / noise + rng.standard_normal(images.shape, np.float32)).astype(np.float32)
    table = pd.DataFrame({"rlnImageName": [f"{i + 1}@none.mrcs" for i in range(count)], "rlnOpticsGroup": 1,
                          "rlnDefocusU": defocus["u"], "rlnDefocusV": defocus["v"], "rlnDefocusAngle": 0.0})
    optics = pd.DataFrame([{"rlnOpticsGroup": 1, "rlnVoltage": 300.0, "rlnSphericalAberration": 2.7,
                            "rlnAmplitudeContrast": 0.1, "rlnImagePixelSize": pixel, "rlnImageSize": box}])
    zeros = np.zeros(count, np.int64)
    particles = ParticleSet(path="none.star", tables={"optics": optics, "particles": table}, box=box, pixel_size=pixel,
                            optics=zeros, group=zeros, group_names=["none"],
                            groups=optics_groups("none.star", optics, ctf=True))
    return Execution(particles=particles, images=lambda rows: images[rows]), poses, volume / np.float32(noise)


def e_step(work: Execution, volume: np.ndarray, order: int, size: int, rows: np.ndarray, tf32: bool = False,
           near: np.ndarray | None = None, coarsest: int = 3) -> Any:
    """Run an expectation step, local where poses to search near are given; return what came of it and its plan."""
    particles, box, pixel = work.particles, work.particles.box, work.particles.pixel_size
    grid = sphere_grid(order, "C1", 0.1, whole=near is not None)
    coarse = coarse_size(healpix.angular_step(order), DIAMETER, pixel, box, size, False)
    mask = soft_disc(box, DIAMETER / 2 / pixel, 5.0)
    sigma = 0.0 if near is None else 2.0 * healpix.angular_step(order + 1)
    plan = SearchPlan(
        size=size, coarse_size=coarse, shifts=shift_grid(*((5.0, 2.0) if near is None else (2.0, 1.0)), 0.1),
        sigma=sigma, use_ctf=True, intact_first_peak=False, zero_mask=True, mask=mask,
        signal=np.ones(box // 2 + 1, bool), diameter=DIAMETER, tf32=tf32)
    before = first_assignments(particles)
    before = before if near is None else replace(before, pose=near)
    step = ExpectationStep(
        work=work, rows=rows, assignments=before, plan=plan,
        statistics=first_statistics(work, rows[:500], before.offset, mask, len(grid.pixels)),
        reference=map_reference(to_device(volume[None], work.device), size, grid),
        log_prior=np.full(grid.size, -np.log(grid.size), np.float32))
    begin = now(work)
    with searches_from(coarsest):
        accumulated = refine_estep.expect(step)
    return SimpleNamespace(seconds=now(work) - begin, accumulated=accumulated, assigned=accumulated.assigned, plan=plan,
                           grid=grid)


@contextlib.contextmanager
def searches_from(order: int) -> Iterator[None]:
    """Let searches over several levels start on a grid of this HEALPix order, on both devices."""
    before = dispatch._COARSEST_ON_CPU, dispatch._COARSEST_ON_GPU
    dispatch._COARSEST_ON_CPU = dispatch._COARSEST_ON_GPU = order
    try:
        yield
    finally:
        dispatch._COARSEST_ON_CPU, dispatch._COARSEST_ON_GPU = before


def now(work: Execution) -> float:
    """Return the time when all work on the particles' device is done."""
    return synchronised() if work.device == "gpu" else time.perf_counter()


@contextlib.contextmanager
def stopwatch(times: dict[str, float]) -> Iterator[None]:
    """Add up, by name, the seconds of the stages of an expectation step on the GPU."""
    stages = [(refine_estep, "prepare_block")]
    stages += [(search, name) for name in ("coarse_slices", "search_everywhere", "search_nearby", "search_children")]
    stages += [(expectation, name) for name in ("product", "_select", "_scores", "_accumulate")]
    originals = [getattr(module, name) for module, name in stages]

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            begin = synchronised()
            result = work(*arguments, **options)
            times[name] = times.get(name, 0.0) + synchronised() - begin
            return result
        return call

    for (module, name), work in zip(stages, originals, strict=True):
        setattr(module, name, timed(name, work))
    try:
        yield
    finally:
        for (module, name), work in zip(stages, originals, strict=True):
            setattr(module, name, work)


def steps(given: argparse.Namespace) -> None:
    """Time global searches, and print the parts of one and the fraction of the card's limit; then local searches."""
    single, tensor, _ = limits()
    for box, order, size, snr in ((64, 2, 50, 0.05), (64, 3, 50, 0.05), (128, 3, 66, 0.02), (64, 2, 50, 0.005)):
        if box > given.largest_box or order > given.highest_order:
            continue
        work, poses, volume, rows = on_gpu(given.particles, box, snr)
        for tf32, coarsest in ((False, 3), (True, 3), (True, 2))[: 3 if order > 2 else 2]:
            run, times = best_of(lambda p=work, v=volume, o=order, s=size, r=rows, t=tf32, c=coarsest: e_step(
                p, v, o, s, r, t, coarsest=c))
            pixels, shifts = full_band(box).count(run.plan.coarse_size), len(run.plan.shifts.coarse)
            flops = 4.0 * pixels * shifts * run.grid.size * given.particles
            rate, limit = flops / times["product"] / 1e12, tensor if tf32 else single
            report(f"box {box}, order {order}, {run.plan.coarse_size}/{size} px, SNR {snr:g}, "
                   f"{'TF32' if tf32 else 'fp32'}, from order {min(coarsest, order)}", run, times, poses)
            if coarsest < order:
                continue
            print(f"      product {flops / given.particles / 1e9:.2f} GFLOP/particle at {rate:.0f} TFLOP/s = "
                  f"{rate / limit:.0%} of the limit; whole step {flops / run.seconds / 1e12:.1f} TFLOP/s", flush=True)
    for box, order, size in ((64, 4, 64), (128, 4, 110)):
        if box <= given.largest_box:
            work, poses, volume, rows = on_gpu(given.particles, box, 0.05)
            for coarsest in (4, 3, 2):
                run, times = best_of(lambda p=work, v=volume, o=order, s=size, r=rows, n=poses, c=coarsest: e_step(
                    p, v, o, s, r, near=n, coarsest=c))
                report(f"box {box}, local, order {order} from {coarsest}, {run.plan.coarse_size}/{size} px", run, times,
                       poses)


def on_gpu(count: int, box: int, snr: float) -> tuple[Execution, np.ndarray, np.ndarray, np.ndarray]:
    """Return synthetic particles on the GPU, their poses, their map, and the numbers of their rows."""
    work, poses, volume = synthetic(count, box, snr)
    return replace(work, device="gpu", cache={}), poses, volume, np.arange(count)


def best_of(step: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return the faster of two runs after a first one, and the seconds of the stages of one more."""
    step()
    run, times = min((step() for _ in range(2)), key=lambda result: result.seconds), {}
    with stopwatch(times):
        step()
    return run, times


def report(case: str, run: Any, times: dict[str, float], poses: np.ndarray) -> None:
    """Print microseconds per particle of a step and of its stages, what it found, and the memory behind it."""
    import cupy

    n, pool = len(poses), cupy.get_default_memory_pool()
    print(f"   {case}: {1e6 * run.seconds / n:.1f} µs/particle; median error "
          f"{np.median(angular_distance(run.assigned.pose, poses)):.1f}°, "
          f"significant {run.assigned.significant.mean():.1f}, "
          f"device memory {pool.total_bytes() / 2**30:.2f} GiB")
    print("      µs/particle: " + ", ".join(f"{name} {1e6 * seconds / n:.1f}" for name, seconds in times.items()),
          flush=True)
    pool.free_all_blocks()


def precision(given: argparse.Namespace) -> None:
    """Print what half precision, TF32 and the GPU change: images, poses, probabilities, maps, noise."""
    count = min(300, given.particles)
    rows = np.arange(count)
    for snr in (0.05, 0.005):
        work, poses, volume = synthetic(count, 64, snr)
        images = work.images(rows)
        rounded = images.astype(np.float16).astype(np.float32)
        print(f"   SNR {snr:g}: half precision of images: error power {((rounded - images) ** 2).mean():.1e} of "
              f"{images.var():.2f}, safe {half_precision_is_safe(images)}")
        half = replace(work, device="gpu", cache={})
        full = replace(work, device="gpu", cache={"device": to_device(images, "gpu")})
        e_step(work, volume, 2, 50, rows[:2], False)
        runs = {"cpu": e_step(work, volume, 2, 50, rows, False), "fp32": e_step(full, volume, 2, 50, rows, False),
                "fp32, half images": e_step(half, volume, 2, 50, rows, False),
                "TF32, half images": e_step(half, volume, 2, 50, rows, True)}
        first = runs["cpu"]
        sums = {key: finish_sums(run.accumulated.sums[:, 0], operators("C1")) for key, run in runs.items()}
        for key, run in runs.items():
            same = angular_distance(run.assigned.pose, first.assigned.pose) < 0.1
            change = np.abs(run.assigned.top_weight - first.assigned.top_weight)
            noise = np.abs(run.accumulated.noise / first.accumulated.noise - 1.0).max()
            error = np.abs(sums[key] - sums["cpu"]).sum() / np.abs(sums["cpu"]).sum()
            print(f"      {key}: same best pose {same.mean():.3f}, significant {run.assigned.significant.mean():.2f}, "
                  f"probability differs by {change.mean():.1e} (largest {change.max():.1e}), noise {noise:.1e}, sums "
                  f"{error:.1e}; within 10° {(angular_distance(run.assigned.pose, poses) < 10).mean():.3f}; "
                  f"{1e6 * run.seconds / count:.0f} µs/particle", flush=True)


def defaults(job: Any, **changed: Any) -> Any:
    """Return a job type's options, all at their defaults but those given."""
    return job.JOB.options(**{"particle_diameter": DIAMETER} | changed)


def jobs(given: argparse.Namespace) -> None:
    """Run Refine3D and Class2D on both devices and compare maps, FSC with the truth and wall time."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        simulate_particles(folder, StackSettings(count=given.job_particles, box=given.job_box,
                                                 pixel_size=WIDTH / given.job_box, snr=0.1, symmetry="D2",
                                                 residues=1500))
        maps, truth = {}, read_mrc("truth/map.mrc")[0]
        for device in ("cpu", "gpu"):
            seconds, lines = run_job(refine3d, defaults(
                refine3d_job, symmetry="D2", initial_lowpass=40.0, max_iterations=given.iterations, device=device),
                {"particles": "particles.star", "reference": "reference.mrc"}, device)
            maps[device] = read_mrc(f"{device}/run_class001.mrc")[0]
            curve = fsc(maps[device], truth)
            print(f"   Refine3D {device}: {seconds:.1f} s; FSC with the truth at least 0.5 to shell "
                  f"{last_shell_above(curve, 0.5)} of {len(curve) - 1}, mean {curve.mean():.4f}")
            print("      " + "\n      ".join(lines[-3:]))
        between = fsc(maps["cpu"], maps["gpu"])
        print(f"   Refine3D, cpu with gpu: FSC mean {between.mean():.4f}, least {between.min():.4f}; correlation "
              f"{np.corrcoef(maps['cpu'].ravel(), maps['gpu'].ravel())[0, 1]:.5f}", flush=True)
        for device in ("cpu", "gpu"):
            seconds, lines = run_job(class2d, defaults(class2d_job, classes=given.classes, iterations=given.iterations,
                                                       device=device), {"particles": "particles.star"}, device)
            print(f"   Class2D {device}: {seconds:.1f} s; {lines[-1]}", flush=True)


def run_job(program: Any, options: Any, inputs: dict[str, str], out: str) -> tuple[float, list[str]]:
    """Run a job; return its wall seconds and what it printed."""
    Path(out).mkdir(exist_ok=True)
    begin, text = time.perf_counter(), io.StringIO()
    with contextlib.redirect_stdout(text):
        program.run(options, inputs, out, lambda done, total, message: None)
    return time.perf_counter() - begin, text.getvalue().splitlines()


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default="card,steps,precision,jobs")
    for name, default in (("particles", 2000), ("job-particles", 500), ("job-box", 64), ("iterations", 5),
                          ("classes", 10), ("largest-box", 128), ("highest-order", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    known = {work.__name__: work for work in (card, steps, precision, jobs)}
    for name in given.parts.split(","):
        with part(name):
            known[name](given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
