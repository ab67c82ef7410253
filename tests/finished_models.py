"""What a pipeline leaves behind, small and untrained: networks, PCA, captions and three images."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recap.backbones.build import build_backbone, save_backbone
from recap.core.artifacts import write_png, write_safetensors
from recap.core.feature_files import write_features
from recap.core.raw_data import SPLITS
from recap.decoders.build import build_decoder, save_decoder
from recap.features.familiarity import write_familiarity
from recap.text.captions import Captions, save_captions
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

ROOT = Path(__file__).resolve().parents[1]
FEATURES, REDUCED = 8, 5
VOCABULARY = Vocabulary((*SPECIAL_WORDS, *"abcdefg"))
SIZES: dict[str, dict[str, Any]] = {
    "rnn": {"hidden_dim": 8},
    "lstm": {"hidden_dim": 8},
    "transformer": {"heads": 2, "layers": 1, "feedforward_dim": 16, "memory_tokens": 2},
}
IMAGES = [f"data/raw/images/test/00000{number}.png" for number in range(3)]


def make_finished_models(root: Path) -> Path:
    """Write what a pipeline leaves: an untrained backbone, PCA and decoders, and three images."""
    random, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    description = {"name": "small_vgg", "feature_dim": FEATURES, "heads": {"digit": ["1", "2"]}}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_backbone(root / "models" / "backbone", description, build_backbone(description).state_dict())
    for name, sizes in SIZES.items():
        model = {"name": name, "feature_dim": REDUCED, "vocabulary_size": len(VOCABULARY), "wordvec_dim": 8}
        model |= {"dropout": 0.0, **sizes}
        decoder = build_decoder(model, generator)
        decoder.scores.weight.data *= 3
        save_decoder(root / "models" / name, decoder, model)
    pca = {"components": torch.randn(REDUCED, FEATURES, generator=generator), "mean": torch.zeros(FEATURES)}
    write_safetensors(root / "data" / "reduced" / "pca.safetensors", pca)
    encoded, rows = np.array([[1, 4, 5, 2], [1, 6, 2, 0]], np.int32), np.array([0, 1], np.int32)
    save_captions(root / "data" / "captions", Captions(VOCABULARY, dict.fromkeys(SPLITS, (encoded, rows))))
    for split in SPLITS:
        features = random.normal(size=(20, REDUCED)).astype(np.float32)
        write_features(root / "data" / "reduced" / f"{split}.h5", features)
    write_familiarity(root / "data" / "reduced")
    for image in IMAGES:
        write_png(root / image, random.integers(0, 256, (70, 80, 3), dtype=np.uint8))
    shutil.copy(ROOT / "params.yaml", root)
    return root
