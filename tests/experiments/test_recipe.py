"""Recipes: files of settings that differ from the committed ones, run by one command."""

from pathlib import Path

import pytest
from tests.imports import ROOT

from recap.errors import InputError
from recap.experiments.recipe import read_recipe

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_of_the_repository_change_settings_that_there_are(path: Path) -> None:
    settings = read_recipe(path, ROOT / "params.yaml")
    assert settings["data.source"] in ("coco", "scenes", "folder")
    assert RECIPES


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train: {sed: 1}", "a.yaml: expected settings of params.yaml, received train.sed"),
        ("train: 3", "a.yaml: expected settings of params.yaml, received train"),
        ("{}", "a.yaml: expected settings of params.yaml, received none"),
        ("train: {seed: one}", 'train.seed: expected an integer, received "one"'),
        ("- train", "expected groups of settings, received"),
        ("train: [", "expected plain YAML"),
        (None, "expected a recipe"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "a.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_recipe(path, ROOT / "params.yaml")
    assert told in str(caught.value).replace(f"{ROOT}/", "")
    assert "\n" not in str(caught.value)
