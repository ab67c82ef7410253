"""recap: reproducible image captioning."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recap.loading import load as load


def __getattr__(name: str) -> Any:
    """Import ``recap.load`` when it is asked for: torch, which it brings, takes a second."""
    if name == "load":
        from recap.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
