"""The backbone is trained on scenes, the same bytes for a seed, and reads what it has learned."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recap.backbones.backbone import Backbone, head_slices
from recap.backbones.build import load_backbone
from recap.backbones.config import BackboneConfig, FeaturesConfig
from recap.backbones.images import load_images
from recap.backbones.prepare import prepare_backbone
from recap.backbones.scene_heads import HEADS
from recap.backbones.small_vgg import TwoStreamVgg
from recap.backbones.training import (
    RISE,
    BackboneState,
    initialize,
    one_cycle,
    train_backbone,
)
from recap.core.artifacts import write_safetensors
from recap.core.feature_files import write_features
from recap.core.raw_data import SPLITS, Source, load_raw, write_source
from recap.errors import InputError
from recap.runtime.checkpoints import Checkpoints
from recap.sources.config import ScenesConfig
from recap.sources.download import Files
from recap.sources.draw_scenes import write_scenes

CPU = torch.device("cpu")
FILES = Files(Path("nowhere"), Path("nowhere.json"), offline=True)
TRAINED_HERE = FeaturesConfig("small_vgg", None, None, None, None, 16, 1, False)


def config_of(**changes: object) -> BackboneConfig:
    values = {
        "feature_dim": 24,
        "crop_steps": 2,
        "steps": 3,
        "batch_size": 8,
        "learning_rate": 0.002,
        "weight_decay": 0.01,
        "seed": 5,
    }
    return BackboneConfig(**(values | changes))  # type: ignore[arg-type]


def ignore(metrics: dict[str, float], step: int) -> None:
    pass


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("raw")
    write_scenes(ScenesConfig(train_images=40, validation_images=12, test_images=12, seed=1), directory)
    write_source(directory, Source("scenes", True, False, False, True, "original"))
    return directory


def test_what_is_written_reads_back_as_it_was_scored(raw: Path, tmp_path: Path) -> None:
    reported: list[tuple[int, dict[str, float]]] = []
    metrics = prepare_backbone(
        raw,
        tmp_path,
        config_of(),
        TRAINED_HERE,
        CPU,
        lambda values, step: reported.append((step, values)),
        FILES,
        tmp_path / "checkpoints",
    )
    backbone = load_backbone(tmp_path)
    assert list(backbone.heads) == list(HEADS)
    images = load_images(load_raw(raw).image_paths("test"), backbone)
    x = backbone.preprocess(images)
    assert backbone.features(x).shape == (12, 24)
    logits = backbone(x)
    backgrounds = [scene["background"] for scene in load_raw(raw).scenes("test")]
    read = logits[:, head_slices(backbone.heads)["background"]].argmax(1).tolist()
    right = [HEADS["background"][i] == name for i, name in zip(read, backgrounds, strict=True)]
    parts = np.array([image["part"] for image in load_raw(raw).captions("test")["images"]])
    for part in ("seen", "unseen"):
        assert metrics[part]["background"] == pytest.approx(np.mean(np.array(right)[parts == part]))
        assert set(metrics[part]) == {"all_right", *HEADS}
    with open(tmp_path / "history.csv", newline="") as file:
        history = list(csv.DictReader(file))
    assert [(row["phase"], int(row["step"])) for row in history] == [("crops", 2), ("scenes", 5)]
    assert [step for step, _ in reported] == [2, 5]
    assert float(history[1]["loss"]) == reported[1][1]["loss"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(raw: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "same", "other")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        torch.rand(seed)  # the global generator's state must not matter
        train_backbone(load_raw(raw), folder, config_of(seed=seed), CPU, ignore, tmp_path)
    one, same, other = ((folder / "weights.safetensors").read_bytes() for folder in folders)
    assert one == same != other


def test_crops_train_the_convolutions_and_no_crops_are_allowed(raw: Path, tmp_path: Path) -> None:
    for steps in (0, 2):
        train_backbone(
            load_raw(raw), tmp_path / str(steps), config_of(crop_steps=steps), CPU, ignore, tmp_path
        )
    without, with_crops = (load_backbone(tmp_path / str(steps)).state_dict() for steps in (0, 2))
    assert not torch.equal(without["convolutions.form.0.weight"], with_crops["convolutions.form.0.weight"])


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 9])
def test_few_steps_are_enough(raw: Path, tmp_path: Path, steps: int) -> None:
    config = config_of(crop_steps=steps, steps=steps, batch_size=4)
    metrics = train_backbone(load_raw(raw), tmp_path, config, CPU, ignore, tmp_path)
    assert metrics["parameters"] > 0


def test_the_cycle_is_that_of_torch() -> None:
    steps, peak = 60, 0.3
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps + 1, pct_start=RISE)
    for step in range(steps):
        rate, beta = one_cycle(step, steps, peak)
        (group,) = optimizer.param_groups
        assert rate == pytest.approx(group["lr"], rel=1e-9)
        assert beta == pytest.approx(group["betas"][0], rel=1e-9)
        optimizer.step()
        schedule.step()


class _Killed(Exception):
    pass


def test_a_resumed_run_gives_the_same_bytes(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(crop_steps=12, steps=14)
    train_backbone(load_raw(raw), tmp_path / "whole", config, CPU, ignore, tmp_path / "kept")
    assert not list((tmp_path / "kept").glob("*/*"))

    def save_and_die(self: Checkpoints, state: BackboneState) -> None:
        self.save(state)
        if state.steps_done() in (3, 11, 12, 13, 22, 26):
            raise _Killed

    killed = 0
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save_now_and_then", save_and_die)
        while True:
            try:
                train_backbone(load_raw(raw), tmp_path / "killed", config, CPU, ignore, tmp_path / "kept")
                break
            except _Killed:
                killed += 1
    assert killed == 6
    for name in ("weights.safetensors", "history.csv", "backbone.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_images_without_scene_graphs_need_fetched_weights(tmp_path: Path) -> None:
    write_source(tmp_path, Source("folder", True, False, False, False, "original"))
    with pytest.raises(InputError, match="expected another for images without scene graphs"):
        prepare_backbone(
            tmp_path, tmp_path / "backbone", config_of(), TRAINED_HERE, CPU, ignore, FILES, tmp_path
        )


def test_features_of_the_source_need_no_backbone(tmp_path: Path) -> None:
    write_source(tmp_path, Source("coco", False, True, True, False, "decoded"))
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "weights.safetensors").write_bytes(b"of an earlier run")
    assert (
        prepare_backbone(
            tmp_path, tmp_path / "backbone", config_of(), TRAINED_HERE, CPU, ignore, FILES, tmp_path
        )
        == {}
    )
    assert [path.name for path in (tmp_path / "backbone").iterdir()] == ["backbone.json"]


def test_the_backbone_that_made_the_features_of_a_source_is_kept_beside_them(
    tmp_path: Path, random_squeezenet: Backbone
) -> None:
    write_source(tmp_path, Source("coco", False, True, True, False, "decoded"))
    write_safetensors(tmp_path / "weights.safetensors", random_squeezenet.state_dict())
    config = replace(TRAINED_HERE, backbone="squeezenet1_1", weights=str(tmp_path / "weights.safetensors"))
    folders = tmp_path, tmp_path / "backbone"
    for split in SPLITS:
        write_features(tmp_path / "features" / f"{split}.h5", np.ones((2, 512), np.float32))
    prepare_backbone(*folders, config_of(), config, CPU, ignore, FILES, tmp_path)
    assert load_backbone(tmp_path / "backbone").feature_dim == 512
    write_features(tmp_path / "features" / "test.h5", np.ones((2, 500), np.float32))
    with pytest.raises(
        InputError, match=r"that made the 500 features of test\.h5, received squeezenet1_1 of 512"
    ):
        prepare_backbone(*folders, config_of(), config, CPU, ignore, FILES, tmp_path)


def test_logits_are_the_classifier_on_the_features_and_no_image_touches_another() -> None:
    backbone = TwoStreamVgg(16, HEADS).eval()
    initialize(backbone, torch.Generator().manual_seed(0))
    images = torch.randint(
        0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    x = backbone.preprocess(images)
    assert x.abs().max() <= 2
    assert torch.allclose(backbone(x), backbone.classifier(backbone.features(x)))
    assert torch.allclose(backbone(x)[1:2], backbone(x[1:2]), atol=1e-5)
    assert (backbone.features(x) >= 0).all()


@pytest.mark.slow
def test_it_learns_to_read_scenes(tmp_path: Path) -> None:
    write_scenes(ScenesConfig(train_images=400, validation_images=60, test_images=60, seed=1), tmp_path)
    write_source(tmp_path, Source("scenes", True, False, False, True, "original"))
    sizes = {"feature_dim": 256, "crop_steps": 100, "steps": 150, "batch_size": 32}
    config = config_of(**sizes, learning_rate=0.004)
    losses: dict[int, float] = {}
    metrics = train_backbone(
        load_raw(tmp_path),
        tmp_path,
        config,
        CPU,
        lambda values, step: losses.update({step: values["loss"]}),
        tmp_path / "checkpoints",
    )
    # The first loss of each phase is about that of guessing.
    assert losses[100] < 0.5 * losses[10]
    assert losses[250] < 0.6 * losses[110]
    for head in ("arrangement", "first_colour", "second_colour"):
        assert metrics["seen"][head] > 0.8
