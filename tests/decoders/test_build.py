"""Decoders from settings and files: their sizes, their first weights, and a description that is none."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from tests.settings import settings

from recap.decoders.build import NAMES, build_decoder, describe, load_decoder
from recap.decoders.config import DecodersConfig
from recap.errors import InputError


@pytest.mark.parametrize("name", NAMES)
def test_settings_make_a_decoder_of_their_sizes(name: str) -> None:
    own = settings(DecodersConfig).of(name)
    model = describe(name, own, 12, 30, (3, 2))
    assert {"learning_rate", "epochs"} & model.keys() == set()
    assert {key: value for key, value in asdict(own).items() if key in model}.items() <= model.items()
    decoder = build_decoder(model, torch.Generator().manual_seed(0))
    assert decoder.get_parameter("words.weight").shape == (30, own.wordvec_dim)
    assert decoder.get_parameter("projection.weight").shape[1] == 12


def test_an_lstm_begins_with_open_forget_gates_and_no_other_bias() -> None:
    own = settings(DecodersConfig).lstm
    decoder = build_decoder(describe("lstm", own, 12, 30), torch.Generator().manual_seed(0))
    read = decoder.get_parameter("recurrence.bias_ih_l0").unflatten(
        0, (4, -1)
    )  # input, forget, block, output
    assert read.mean(dim=1).tolist() == [0, 1, 0, 0]
    assert read.std(dim=1).tolist() == [0, 0, 0, 0]
    assert not decoder.get_parameter("recurrence.bias_hh_l0").any()


@pytest.mark.parametrize("text", ["[]", "3", '"lstm"'])
def test_a_description_that_is_no_object_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(InputError, match=r"model\.json: expected the description of a decoder, received"):
        load_decoder(tmp_path)
