"""The stage `reduce`: PCA fitted on training features, or features passed through as they are."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from recap.core.artifacts import write_bytes, write_csv
from recap.core.directories import make_empty
from recap.core.feature_files import finite, open_features, read_blocks, write_feature_blocks
from recap.core.raw_data import SPLITS
from recap.errors import InputError
from recap.features.concepts import Concepts, fit_concepts, project_cross_fitted, word_shares
from recap.features.config import ReduceConfig
from recap.features.familiarity import write_familiarity
from recap.features.pca import BLOCK_ROWS, fit_pca, project, whiten
from recap.progress import track
from recap.text.captions import load_captions


def reduce(
    features: Path, captions: Path, directory: Path, config: ReduceConfig, threads: int
) -> dict[str, Any]:
    """Write data/reduced: {train,val}.h5, familiarity.safetensors, of PCA pca.safetensors and spectrum.csv.

    Args:
        features: the folder with {train,val}.h5, (N, D) float32 each.
        captions: what the stage `tokenize` wrote; concepts are fitted to the captions of training images.
        directory: data/reduced; what was in it goes first.
        config: group `reduce`.
        threads: of the linear algebra; it changes the last bits.

    Returns:
        ``components`` (the width written, concepts among it) and, where PCA is on,
        ``explained_variance_ratio`` (the sum of those of the components of PCA).

    Raises:
        InputError: more components than the features have, more concepts than captions have words, splits of
            different width, or NaN.
    """
    make_empty(directory)
    paths = {split: features / f"{split}.h5" for split in SPLITS}
    shapes = {split: open_features(path).shape for split, path in paths.items()}
    if shapes["train"][1] != shapes["val"][1]:
        raise InputError(
            f"{paths['val']}: expected the width of the training features, {shapes['train'][1]}, "
            f"received {shapes['val'][1]}"
        )
    if not config.enabled:
        for split, path in paths.items():
            blocks = finite(read_blocks(path, BLOCK_ROWS), path)
            write_feature_blocks(directory / f"{split}.h5", shapes[split], blocks)
        write_familiarity(directory)
        return {"components": shapes["train"][1]}
    with threadpool_limits(threads):
        pca = fit_pca(paths["train"], config.components)
        if config.whiten:  # in the matrix, so that its readers need not know
            whiten(pca)
        own = None
        if config.concepts:
            own = _concepts(paths["train"], captions, pca, config)
            pca.components_ = np.concatenate([pca.components_, own.directions])  # (K + C, D)
        for split, path in paths.items():
            count = shapes[split][0]
            if own and split == "train":
                blocks = project_cross_fitted(path, pca, own)
            else:
                blocks = track(project(path, pca), f"projecting {split}", -(-count // BLOCK_ROWS))
            shape = (count, len(pca.components_))
            write_feature_blocks(directory / f"{split}.h5", shape, finite(blocks, path))
    write_familiarity(directory)
    ratios = pca.explained_variance_ratio_
    rows = zip(range(1, len(ratios) + 1), ratios.tolist(), np.cumsum(ratios).tolist(), strict=True)
    write_csv(directory / "spectrum.csv", ("component", "explained_variance_ratio", "cumulative"), rows)
    # safetensors writes memory as it lies, and scikit-learn's components lie in Fortran's order
    arrays = {"components": np.ascontiguousarray(pca.components_), "mean": pca.mean_}
    write_bytes(directory / "pca.safetensors", save(arrays))
    return {"components": len(pca.components_), "explained_variance_ratio": float(ratios.sum())}


def _concepts(path: Path, directory: Path, pca: PCA, config: ReduceConfig) -> Concepts:
    captions = load_captions(directory)
    own, image_rows = captions.of("train")
    images = len(open_features(path))
    if int(image_rows.max()) >= images:
        raise InputError(f"{path}: expected a row for image {int(image_rows.max())}, received {images} rows")
    shares = word_shares(own, image_rows, images, len(captions.vocabulary))
    return fit_concepts(path, pca.mean_, shares, config.concepts, config.concepts_penalty)
