"""PCA of features at COCO's size, from HDF5 file to projected features, against scikit-learn's solvers.

Each solver runs in a process of its own; printed are seconds, processor seconds, peak memory, and ratios to
scikit-learn's "covariance_eigh" on the loaded array, in the same run. The exact eigenvalues come from
products in float64. Usage: python benchmarks/pca.py [--rows 82783] [--width 4096] [--components 512]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recap.core.feature_files import open_features, read_blocks, write_feature_blocks

THREADS = 2
BASELINE = "covariance_eigh"
SOLVERS = ("recap", BASELINE, "randomized", "exact")


def main() -> None:
    parser = argparse.ArgumentParser(description="PCA at COCO's size.")
    parser.add_argument("--rows", type=int, default=82_783)
    parser.add_argument("--width", type=int, default=4_096)
    parser.add_argument("--components", type=int, default=512)
    parser.add_argument("--solver", choices=SOLVERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.solver:
        _measure(options.solver, options.folder, options.components)
        return
    with tempfile.TemporaryDirectory(prefix="recap-pca-") as name:
        folder = Path(name)
        shape = (options.rows, options.width)
        write_feature_blocks(folder / "features.h5", shape, _features(*shape))
        results = {}
        for solver in SOLVERS:
            command = [sys.executable, __file__, "--solver", solver, "--folder", name]
            command += ["--components", str(options.components)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results[solver] = json.loads(done.stdout)
        _print(results, folder, shape, options.components)


def _features(rows: int, width: int, rank: int = 400) -> Iterator[NDArray[np.float32]]:
    """Features like a rectified layer's: a spectrum falling by a power, noise, clipped at zero."""
    generator = np.random.default_rng(0)
    weights = np.arange(1, rank + 1, dtype=np.float32)[:, None] ** -0.5
    basis = weights * generator.standard_normal((rank, width), dtype=np.float32)
    for start in range(0, rows, 4096):
        count = min(4096, rows - start)
        block = generator.standard_normal((count, rank), dtype=np.float32) @ basis
        block += 0.5 * generator.standard_normal((count, width), dtype=np.float32)
        yield np.maximum(block, 0)


def _measure(solver: str, folder: Path, components: int) -> None:
    """Fit and project with one solver; print what it took as JSON."""
    from sklearn.decomposition import PCA

    from recap.features.pca import fit_pca, project

    path = folder / "features.h5"
    start, processor = time.perf_counter(), time.process_time()
    with threadpool_limits(THREADS):
        if solver == "recap":
            pca = fit_pca(path, components)
            shape = (len(open_features(path)), components)
            write_feature_blocks(folder / "recap.h5", shape, project(path, pca))
            variance, directions = pca.explained_variance_, pca.components_
        elif solver == "exact":
            variance, directions = _exact(path, components)
        else:
            with h5py.File(path) as hdf5:
                features = hdf5["features"][()]
            pca = PCA(components, svd_solver=solver, random_state=0).fit(features)
            projected = pca.transform(features).astype(np.float32, copy=False)
            with h5py.File(folder / f"{solver}.h5", "w") as hdf5:
                hdf5["features"] = projected
            variance, directions = pca.explained_variance_, pca.components_
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    np.savez(folder / f"{solver}.npz", variance=variance, directions=directions)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "processor": processor, "peak_mb": peak}))


def _exact(path: Path, components: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues and eigenvectors of the covariance with every product in float64."""
    from scipy.linalg import eigh

    count, width = open_features(path).shape
    mean = np.zeros(width)
    for block in read_blocks(path, 2048):
        mean += block.sum(axis=0, dtype=np.float64)
    mean /= count
    covariance = np.zeros((width, width))
    for block in read_blocks(path, 2048):
        centred = block - mean
        covariance += centred.T @ centred
    covariance /= count - 1
    variance, vectors = eigh(covariance, subset_by_index=(width - components, width - 1))
    return variance[::-1], vectors[:, ::-1].T


def _print(
    results: dict[str, dict[str, float]], folder: Path, shape: tuple[int, int], components: int
) -> None:
    from scipy.linalg import subspace_angles

    exact = np.load(folder / "exact.npz")
    base = results[BASELINE]
    print(f"PCA {shape[0]:,} x {shape[1]:,} -> {components}, {THREADS} threads; ratios to {BASELINE}")
    print(
        f"{'solver':16} {'seconds':>8} {'ratio':>6} {'CPU s':>8} {'ratio':>6} {'peak MB':>8} {'ratio':>6} "
        f"{'eigenvalue error':>17} {'subspace angle':>15}"
    )
    for solver, result in results.items():
        found = np.load(folder / f"{solver}.npz")
        error = np.abs(found["variance"] / exact["variance"] - 1).max()
        angle = subspace_angles(found["directions"].T.astype(float), exact["directions"].T).max()
        cells = [
            f"{result[key]:8.1f} {result[key] / base[key]:6.2f}"
            for key in ("seconds", "processor", "peak_mb")
        ]
        print(f"{solver:16} {' '.join(cells)} {error:17.1e} {angle:15.1e}")


if __name__ == "__main__":
    main()
