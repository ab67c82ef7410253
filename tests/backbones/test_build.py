"""Backbones on disk: what is written is what is read, and weights that do not fit are named."""

from pathlib import Path
from typing import Any

import pytest
import torch

from recap.backbones.backbone import Backbone, head_slices
from recap.backbones.build import build_backbone, keep_grid, load_backbone, load_weights, save_backbone
from recap.core.artifacts import write_json, write_safetensors
from recap.errors import InputError

DESCRIPTION = {"name": "squeezenet1_1", "heads": {"class": [f"class {index}" for index in range(1000)]}}


def test_a_saved_backbone_gives_the_same_logits(random_squeezenet: Backbone, tmp_path: Path) -> None:
    save_backbone(tmp_path, DESCRIPTION, random_squeezenet.state_dict())
    backbone = load_backbone(tmp_path)
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(backbone(x), random_squeezenet(x))
    assert not backbone.training
    assert backbone.heads["class"][999] == "class 999"


def test_weights_that_do_not_fit_are_named_in_one_line(random_squeezenet: Backbone, tmp_path: Path) -> None:
    weights = dict(random_squeezenet.state_dict())
    del weights["features.0.bias"]
    weights["features.0.extra"] = torch.zeros(1)
    weights["classifier.1.bias"] = torch.zeros(10)
    weights["features.12.squeeze.bias"] = torch.full((64,), torch.nan)
    write_safetensors(tmp_path / "weights.safetensors", weights)
    with pytest.raises(InputError) as caught:
        load_weights(random_squeezenet, tmp_path / "weights.safetensors")
    message = str(caught.value)
    assert "\n" not in message
    assert "features.0.bias is absent" in message
    assert "features.0.extra is unknown" in message
    assert "classifier.1.bias has shape (10,) instead of (1000,)" in message
    assert "features.12.squeeze.bias holds values that are not finite" in message


def test_what_is_no_backbone_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"backbone\.json: expected a readable file, received: No such"):
        load_backbone(tmp_path)
    write_json(tmp_path / "backbone.json", {"name": "none", "heads": {}})
    with pytest.raises(InputError, match=r"expected one of small_vgg, .*, received 'none'"):
        load_backbone(tmp_path)
    write_json(tmp_path / "backbone.json", DESCRIPTION)
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="expected weights in safetensors format"):
        load_backbone(tmp_path)


def test_heads_lie_side_by_side() -> None:
    heads = {"digit": ("one", "two"), "colour": ("red", "green", "blue")}
    assert head_slices(heads) == {"digit": slice(0, 2), "colour": slice(2, 5)}


@pytest.mark.parametrize(
    ("description", "places", "channels"),
    [
        ({"name": "small_vgg", "feature_dim": 8, "heads": {"digit": ["1", "2"]}}, 64, 96),
        ({"name": "two_stream_vgg", "feature_dim": 8, "heads": {"digit": ["1", "2"]}}, 64, 96),
        ({"name": "squeezenet1_1", "heads": {"class": [str(i) for i in range(1000)]}}, 169, 512),
    ],
)
def test_a_grid_is_the_last_maps_behind_the_feature(
    description: dict[str, Any], places: int, channels: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    save_backbone(tmp_path, description, build_backbone(description).state_dict())
    plain = load_backbone(tmp_path)
    assert (plain.grid, plain.row_dim) == ((0, 0), plain.feature_dim)
    keep_grid(tmp_path)
    backbone = load_backbone(tmp_path)
    assert backbone.grid == (places, channels)
    x = torch.randn(2, 3, backbone.input_size, backbone.input_size)
    with torch.no_grad():
        rows, features, maps = backbone.rows(x), backbone.features(x), backbone.maps(x)
        assert torch.equal(plain.rows(x), features)
    assert rows.shape == (2, backbone.row_dim)
    assert torch.equal(rows[:, : backbone.feature_dim], features)
    grid = rows[:, backbone.feature_dim :].view(2, places, channels)
    side = maps.shape[3]
    assert torch.equal(grid[1, 2 * side + 5], maps[1, :, 2, 5])  # row by row from the top


@pytest.mark.parametrize(("name", "places", "channels"), [("vgg16", 49, 512), ("resnet50", 49, 2048)])
def test_large_backbones_have_grids_too(name: str, places: int, channels: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone({"name": name, "heads": {"class": [str(i) for i in range(1000)]}})
    maps = backbone.to("meta").maps(torch.zeros(1, 3, 224, 224, device="meta"))
    assert (maps[0, 0].numel(), maps.shape[1]) == (places, channels)
