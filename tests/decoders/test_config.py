"""Settings of the decoders that do not fit each other."""

from pathlib import Path

import pytest

from recap.core.config import load
from recap.decoders.config import DecodersConfig
from recap.errors import InputError

PARAMS = (Path(__file__).resolve().parents[2] / "params.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "heads: 4 ",
            "heads: 7 ",
            "params.yaml: decoders.transformer.heads: expected a divisor of wordvec_dim, {width}, received 7",
        ),
        (
            "names: [rnn, lstm,",
            "names: [lstm, lstm,",
            "params.yaml: decoders.names: expected each decoder once, "
            'received ["lstm", "lstm", "transformer"]',
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS.replace(old, new), encoding="utf-8")
    width = load(Path(__file__).resolve().parents[2] / "params.yaml", DecodersConfig).transformer.wordvec_dim
    with pytest.raises(InputError) as caught:
        load(tmp_path / "params.yaml", DecodersConfig)
    assert str(caught.value) == message.format(width=width)
