"""The names of the tokenizers, for settings."""

from typing import Literal

TokenizerName = Literal["ptb", "stanford", "whitespace"]
