"""A folder that appears whole, or not at all."""

from pathlib import Path

import pytest

from recap.errors import InputError
from recap.workspace.new_folder import new_folder


@pytest.mark.parametrize("name", ["new", "ä" * 127, "a/b"])
def test_it_appears_whole(tmp_path: Path, name: str) -> None:
    with new_folder(tmp_path / name) as part:
        (part / "x").write_text("x")
        assert not (tmp_path / name).exists()
    assert [path.name for path in (tmp_path / name).iterdir()] == ["x"]
    assert len(list((tmp_path / name).parent.iterdir())) == 1


def test_nothing_is_left_where_something_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "new"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_the_folder_under_ones_feet_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".", str(tmp_path)):
        with pytest.raises(InputError, match="expected a new folder, received the one that this runs in"):
            new_folder(Path(name)).__enter__()
