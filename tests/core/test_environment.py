"""Variables that hold settings are read in one way, and refused in a line."""

import pytest

from recap.core.environment import is_on, positive_number, whole_number
from recap.errors import InputError


@pytest.mark.parametrize(
    "text", ["abc", "", "-1", "1.0", " 1", "1_0", "٣", "99999999999999999999", "9" * 5000, "8"]
)
def test_whole_numbers(text: str) -> None:
    with pytest.raises(InputError, match=r"RANK: expected a whole number, 0 to 7, received '"):
        whole_number({"RANK": text}, "RANK", 0, 7, 3)
    assert whole_number({"RANK": "07"}, "RANK", 0, 7) == 7
    assert whole_number({}, "RANK", 0, 7, 3) == 3
    with pytest.raises(InputError, match="received nothing"):
        whole_number({}, "RANK", 0, 7)


@pytest.mark.parametrize("text", ["abc", "", "-1", "0", "nan", "inf", "1e400", "1e10"])
def test_numbers(text: str) -> None:
    with pytest.raises(InputError, match="SECONDS: expected a number above 0, at most 1e9, received"):
        positive_number({"SECONDS": text}, "SECONDS", 1.0)
    assert positive_number({"SECONDS": "0.5"}, "SECONDS", 1.0) == 0.5
    assert positive_number({}, "SECONDS", 1.0) == 1.0


def test_switches() -> None:
    assert is_on({}, "TRACKING")
    assert is_on({"TRACKING": "on"}, "TRACKING")
    assert not is_on({"TRACKING": "off"}, "TRACKING")
    for text in ("", "Off", "0", "false"):
        with pytest.raises(InputError, match="TRACKING: expected on or off"):
            is_on({"TRACKING": text}, "TRACKING")
