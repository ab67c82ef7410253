"""The stage `reduce`: PCA fitted on training features, or features passed through as they are."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from threadpoolctl import threadpool_limits

from recap.core.artifacts import write_bytes, write_csv
from recap.core.directories import make_empty
from recap.core.feature_files import (
    BLOCK_ROWS,
    NO_GRID,
    Grid,
    finite,
    open_features,
    read_blocks,
    read_grid,
    write_feature_blocks,
    write_grid,
)
from recap.core.raw_data import LANGUAGE, SPLITS
from recap.errors import InputError
from recap.features.concepts import Concepts, fit_concepts, project_beside, word_shares
from recap.features.config import ReduceConfig
from recap.features.familiarity import write_familiarity
from recap.features.language import write_language_features
from recap.features.pca import fit_pca, project, whiten
from recap.progress import track
from recap.text.captions import language_path, load_captions, load_language


def reduce(
    features: Path, captions: Path, directory: Path, config: ReduceConfig, threads: int
) -> dict[str, Any]:
    """Write data/reduced: {train,validation,test}.h5, familiarity.safetensors, and what PCA found.

    Where there are captions of images that are not there, language.h5 holds features for them.

    Args:
        features: the folder with {train,validation,test}.h5, (N, D) float32 each, and grid.json where the
            last columns are maps with places, which get a PCA of their channels.
        captions: what `tokenize` wrote; concepts are fitted to the captions of training images.
        directory: data/reduced; what was in it goes first.
        config: group `reduce`.
        threads: of the linear algebra; it changes the last bits.

    Returns:
        ``components`` (the width written) and, where PCA is on, the sum of its ``explained_variance_ratio``.

    Raises:
        InputError: more components or concepts than there can be, splits of different width, NaN, or concepts
            or captions of images that are not there beside a grid.
    """
    make_empty(directory)
    grid = read_grid(features)
    if grid != NO_GRID and config.concepts:
        raise InputError(
            f"reduce.concepts: expected 0 where features.grid is true, received {config.concepts}"
        )
    paths = {split: features / f"{split}.h5" for split in SPLITS}
    shapes = {split: open_features(path).shape for split, path in paths.items()}
    for split, (_, width) in shapes.items():
        if width != shapes["train"][1]:
            raise InputError(
                f"{paths[split]}: expected the width of the training features, {shapes['train'][1]}, "
                f"received {width}"
            )
    if grid != NO_GRID and language_path(captions).is_file():
        raise InputError("data.language_captions: expected null where features.grid is true, received a file")
    if not config.enabled:
        for split, path in paths.items():
            blocks = finite(read_blocks(path), path)
            write_feature_blocks(directory / f"{split}.h5", shapes[split], blocks)
        write_grid(directory, grid)
        write_familiarity(directory)
        with threadpool_limits(threads):
            _write_language(directory, captions)
        return {"components": shapes["train"][1]}
    with threadpool_limits(threads):
        own_part, channels_part = partial(_feature_part, grid=grid), partial(_places_part, grid=grid)
        pca = fit_pca(paths["train"], config.components, own_part)
        if config.whiten:  # in the matrix, so that its readers need not know
            whiten(pca)
        own, of_channels = None, None
        if grid != NO_GRID:
            of_channels = fit_pca(
                paths["train"], config.grid_components, channels_part, "reduce.grid_components"
            )
        if config.concepts:
            own = _concepts(paths["train"], captions, config)
        kept_grid = (grid[0], config.grid_components) if of_channels else NO_GRID
        width = config.components + config.concepts
        for split, path in paths.items():
            count = shapes[split][0]
            blocks = project(path, pca, own_part)
            if own:
                blocks = project_beside(path, pca, own, cross_fitted=split == "train")
            if of_channels:
                blocks = _beside(blocks, project(path, of_channels, channels_part))
            blocks = track(blocks, f"projecting {split}", -(-count // BLOCK_ROWS))
            shape = (count, width + kept_grid[0] * kept_grid[1])
            write_feature_blocks(directory / f"{split}.h5", shape, finite(blocks, path))
        _write_language(directory, captions)
    write_grid(directory, kept_grid)
    write_familiarity(directory)
    ratios = pca.explained_variance_ratio_
    rows = zip(range(1, len(ratios) + 1), ratios.tolist(), np.cumsum(ratios).tolist(), strict=True)
    write_csv(directory / "spectrum.csv", ("component", "explained_variance_ratio", "cumulative"), rows)
    # safetensors writes memory as it lies, and scikit-learn's components lie in Fortran's order
    arrays = {"components": np.ascontiguousarray(pca.components_), "mean": pca.mean_}
    if own:
        arrays |= own.arrays()
    if of_channels:
        arrays |= {
            "grid": np.array(grid),
            "grid_components": np.ascontiguousarray(of_channels.components_),
            "grid_mean": of_channels.mean_,
        }
    write_bytes(directory / "pca.safetensors", save(arrays))
    return {"components": width, "explained_variance_ratio": float(ratios.sum())}


def _feature_part(rows: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Return the feature in rows whose last columns are P places of M channels: (N, D + P M) -> (N, D)."""
    return rows[:, : rows.shape[1] - grid[0] * grid[1]]


def _places_part(rows: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Return what is seen at each place, of the same rows: (N, D + P M) -> (N P, M)."""
    return rows[:, rows.shape[1] - grid[0] * grid[1] :].reshape(-1, grid[1])


def _beside(
    features: Iterator[NDArray[np.float32]], places: Iterator[NDArray[np.float32]]
) -> Iterator[NDArray[np.float32]]:
    """Yield blocks of features (rows, K), each with its places (rows P, M) behind, flattened."""
    for own, of_places in zip(features, places, strict=True):
        yield np.concatenate([own, of_places.reshape(len(own), -1)], axis=1)


def _write_language(directory: Path, captions: Path) -> None:
    """Write the features of captions of images that are not there, if there are such captions."""
    if language := load_language(captions):
        paths = directory / f"{LANGUAGE}.h5", directory / "train.h5"
        write_language_features(*paths, load_captions(captions), language)


def _concepts(path: Path, directory: Path, config: ReduceConfig) -> Concepts:
    captions = load_captions(directory)
    own, image_rows = captions.of("train")
    images = len(open_features(path))
    if int(image_rows.max()) >= images:
        raise InputError(f"{path}: expected a row for image {int(image_rows.max())}, received {images} rows")
    shares = word_shares(own, image_rows, images, len(captions.vocabulary))
    return fit_concepts(path, shares, config.concepts, config.concepts_penalty)
