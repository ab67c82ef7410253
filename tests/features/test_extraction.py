"""Features: one row an image in row order, the same bytes on every run, and sources that bring their own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recap.backbones.backbone import Backbone
from recap.backbones.build import keep_grid, save_backbone
from recap.backbones.config import FeaturesConfig
from recap.core.feature_files import open_features, read_grid, write_features
from recap.core.raw_data import SPLITS, Source, write_captions, write_source
from recap.errors import InputError
from recap.features.extraction import Folders, compute_features, extract
from recap.runtime.workers import ALONE

CPU = torch.device("cpu")
CONFIG = FeaturesConfig("squeezenet1_1", None, None, None, None, 2, 1, False)
SIZES = {
    "train": [(300, 260), (256, 256), (400, 256)],
    "validation": [(256, 256)],
    "test": [(256, 500), (270, 270)],
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A source with images of different sizes, 3, 1 and 2."""
    directory = tmp_path / "raw"
    generator = np.random.default_rng(5)
    for split, sizes in SIZES.items():
        folder = directory / "images" / split
        folder.mkdir(parents=True)
        images = []
        for row, (width, height) in enumerate(sizes):
            name = f"{9 - row}.png"
            colour = generator.integers(0, 256, (1, 1, 3), dtype=np.uint8)
            pixels = np.tile(colour, (height, width, 1))
            Image.fromarray(pixels).save(folder / name)
            images.append({"id": row, "file_name": name})
        write_captions(directory, split, images, [])
    write_source(directory, Source("folder", True, False, False, False, "original"))
    return directory


@pytest.fixture
def backbone_directory(random_squeezenet: Backbone, tmp_path: Path) -> Path:
    names = [f"class {index}" for index in range(1000)]
    description = {"name": "squeezenet1_1", "heads": {"class": names}}
    save_backbone(tmp_path / "backbone", description, random_squeezenet.state_dict())
    return tmp_path / "backbone"


def test_row_i_is_image_i(raw: Path, backbone_directory: Path, random_squeezenet: Backbone) -> None:
    out = raw.parent / "features"
    summary = extract(Folders(raw, backbone_directory, out, raw.parent / "work"), CONFIG, CPU, ALONE)
    assert summary == {"feature_dim": 512, "train_images": 3, "validation_images": 1, "test_images": 2}
    features = open_features(out / "train.h5")
    alone = raw / "images" / "train" / "7.png"
    (expected,) = compute_features([alone], random_squeezenet)
    distances = np.abs(features - expected).max(axis=1)
    assert distances[2] < 1e-6
    assert distances[:2].min() > 100 * distances[2]


def test_two_runs_write_the_same_bytes(raw: Path, backbone_directory: Path) -> None:
    for name in ("a", "b"):
        extract(Folders(raw, backbone_directory, raw.parent / name, raw.parent / "work"), CONFIG, CPU, ALONE)
    for split in SIZES:
        a, b = (raw.parent / name / f"{split}.h5" for name in ("a", "b"))
        assert a.read_bytes() == b.read_bytes()


def test_an_image_that_does_not_decode_is_named_and_nothing_is_written(
    raw: Path, backbone_directory: Path
) -> None:
    (raw / "images" / "test" / "8.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"test/8\.png: expected an image that decodes"):
        extract(
            Folders(raw, backbone_directory, raw.parent / "features", raw.parent / "work"), CONFIG, CPU, ALONE
        )
    assert not (raw.parent / "features" / "test.h5").exists()


def test_features_of_the_source_pass_through(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    generator = np.random.default_rng(0)
    for split, count in (("train", 5), ("validation", 1), ("test", 2)):
        features = generator.standard_normal((count, 7), dtype=np.float32)
        write_features(raw / "features" / f"{split}.h5", features)
        write_captions(raw, split, [{"id": row, "file_name": ""} for row in range(count)], [])
    write_source(raw, Source("coco", False, True, True, False, "decoded"))
    summary = extract(
        Folders(raw, tmp_path / "absent", tmp_path / "features", tmp_path / "work"), CONFIG, CPU, ALONE
    )
    assert summary == {"feature_dim": 7, "train_images": 5, "validation_images": 1, "test_images": 2}
    for split in SPLITS:
        copy, original = tmp_path / "features" / f"{split}.h5", raw / "features" / f"{split}.h5"
        assert np.array_equal(open_features(copy), open_features(original))
        assert copy.stat().st_ino != original.stat().st_ino
    write_captions(raw, "test", [{"id": 0, "file_name": ""}], [])
    with pytest.raises(InputError, match="expected a row for each of 1 images, received 2 rows"):
        extract(
            Folders(raw, tmp_path / "absent", tmp_path / "features", tmp_path / "work"), CONFIG, CPU, ALONE
        )


@pytest.mark.slow
def test_torchrun_shares_the_work_and_ends_with_the_same_bytes(raw: Path, backbone_directory: Path) -> None:
    script = raw.parent / "stage.py"
    script.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from recap.features.extraction import Folders, extract\n"
        "from recap.backbones.config import FeaturesConfig\n"
        "from recap.runtime.workers import join_workers\n"
        "torch.set_num_threads(1)\n"
        "with join_workers(int(os.environ['WORLD_SIZE']), torch.device('cpu'), os.environ) as worker:\n"
        "    config = FeaturesConfig('squeezenet1_1', None, None, None, None, 2, 1, False)\n"
        "    extract(Folders(*map(Path, sys.argv[1:])), config, torch.device('cpu'), worker)\n"
    )
    for name, processes in (("alone", 1), ("shared", 2)):
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        folders = [raw, backbone_directory, raw.parent / name, raw.parent / f"work-{name}"]
        subprocess.run(
            [sys.executable, *torchrun, script, *folders], check=True, capture_output=True, timeout=300
        )
    for split in SIZES:
        alone, shared = (raw.parent / name / f"{split}.h5" for name in ("alone", "shared"))
        assert alone.read_bytes() == shared.read_bytes()
    assert list((raw.parent / "work-shared").iterdir()) == []


def test_a_grid_lies_behind_the_features(raw: Path, backbone_directory: Path) -> None:
    folders = Folders(raw, backbone_directory, raw.parent / "features", raw.parent / "work")
    extract(folders, CONFIG, CPU, ALONE)
    assert read_grid(folders.features) == (0, 0)
    plain = np.array(open_features(folders.features / "test.h5"))
    keep_grid(backbone_directory)
    summary = extract(folders, CONFIG, CPU, ALONE)
    assert {key: summary[key] for key in ("feature_dim", "places", "channels")} == {
        "feature_dim": 512,
        "places": 169,
        "channels": 512,
    }
    assert read_grid(folders.features) == (169, 512)
    rows = open_features(folders.features / "test.h5")
    np.testing.assert_array_equal(rows[:, :512], plain)
    maps = rows[:, 512:].reshape(2, 169, 512)
    np.testing.assert_allclose(
        maps.mean(axis=1), plain, rtol=1e-4, atol=1e-6
    )  # SqueezeNet's feature is their mean
