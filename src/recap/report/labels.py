"""What the names in files are called on the page, and how their numbers are written."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Metric:
    """How a number of metrics.json is shown.

    Attributes:
        label: the head of its column.
        explanation: one line for who does not know it.
        better: which way is better; None where neither is.
        form: "score" three decimals, "percent", "count" a whole number, "decimal" two decimals.
        table: "scores", or "manner" for what captions are like, good or bad.
    """

    label: str
    explanation: str
    better: Literal["higher", "lower"] | None
    form: Literal["score", "percent", "count", "decimal"]
    table: Literal["scores", "manner"]


METRICS = {
    "truth": Metric(
        "True captions", "share of captions all of whose claims hold", "higher", "percent", "scores"
    ),
    "claims_per_caption": Metric(
        "Claims", "claims a caption makes, on average; saying less must not win", None, "decimal", "scores"
    ),
    "cider_d": Metric(
        "CIDEr-D", "agreement with the references; rare words count more", "higher", "score", "scores"
    ),
    "bleu_1": Metric("BLEU-1", "precision of single words, penalty for brevity", "higher", "score", "scores"),
    "bleu_2": Metric("BLEU-2", "precision of up to two words in a row", "higher", "score", "scores"),
    "bleu_3": Metric("BLEU-3", "precision of up to three words in a row", "higher", "score", "scores"),
    "bleu_4": Metric("BLEU-4", "precision of up to four words in a row", "higher", "score", "scores"),
    "rouge_l": Metric("ROUGE-L", "longest common run of words with a reference", "higher", "score", "scores"),
    "meteor": Metric("METEOR", "words matched up to stems and synonyms", "higher", "score", "scores"),
    "perplexity": Metric(
        "Perplexity", "how many words the decoder hesitates between", "lower", "decimal", "scores"
    ),
    "invalid_words": Metric(
        "Invalid words", "written words that no training caption has", None, "percent", "manner"
    ),
    "length": Metric("Words", "words a caption has, on average", None, "decimal", "manner"),
    "vocabulary": Metric("Vocabulary", "different words in all captions", None, "count", "manner"),
    "distinct_1": Metric("Distinct-1", "different words over all words", None, "score", "manner"),
    "distinct_2": Metric("Distinct-2", "different pairs of words over all pairs", None, "score", "manner"),
    "novel": Metric("Novel", "captions that no training caption equals", None, "percent", "manner"),
}
"""In the order of the columns."""

NAMES = {
    "rnn": "RNN",
    "lstm": "LSTM",
    "transformer": "Transformer",
    "attention_lstm": "LSTM with attention",
    "train": "Training images",
    "validation": "Validation images",
    "test": "Test images",
    "seen": "Test images with seen combinations",
    "unseen": "Test images with unseen combinations",
}

PARTS = {
    "seen": "New digit images in colour and digit combinations that training has.",
    "unseen": "New digit images, with a colour and digit pair that training never shows.",
    "test": "Images that training never shows.",
}

POINTS = "\N{NO-BREAK SPACE}points"
"""Of percentages, the unit of a difference."""
LARGEST_CHANCE = 0.05
"""A difference that chance alone makes as rarely as this is marked."""


def metric(name: str) -> Metric:
    """Return how to show a metric; an unknown one keeps its own name and is never marked as best."""
    return METRICS.get(name) or Metric(name.replace("_", " ").capitalize(), "", None, "score", "scores")


def in_order(keys: Set[str]) -> list[str]:
    """Return metrics in the order of ``METRICS``; unknown ones follow by name."""
    return [key for key in METRICS if key in keys] + sorted(keys - METRICS.keys())


def name(key: str) -> str:
    """Return a key as people write it."""
    return NAMES.get(key) or key[:1].upper() + key[1:].replace("_", " ")


def number(value: float | None, form: str) -> str:
    """Return a number in one of ``Metric``'s forms; an en dash for None."""
    if value is None:
        return "–"
    if form == "percent":
        text = f"{100 * value:.1f}\N{NO-BREAK SPACE}%"
    elif form == "count":
        text = f"{value:,.0f}"
    else:
        text = f"{value:.2f}" if form == "decimal" else f"{value:.3f}"
    return text.replace("-", "−")


def chance(p_value: float) -> str:
    """Return a p-value as it is written."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def signed(value: float, form: str) -> str:
    """Return a difference as it is written, with its sign; of percentages, in percentage points."""
    text = number(abs(value), form).replace("\N{NO-BREAK SPACE}%", POINTS)
    return f"{'−' if value < 0 else '+'}{text}"


def ends(low: float, high: float, form: str) -> str:
    """Return the interval of a difference as it is written, with its unit once."""
    return f"{signed(low, form).removesuffix(POINTS)} to {signed(high, form)}"


def tested(mean: float, low: float, high: float, p_value: float, form: str) -> dict[str, Any]:
    """Return a difference with its interval and p as cells of a table; one that is certain is marked."""
    certain = p_value <= LARGEST_CHANCE
    return {
        "text": signed(mean, form),
        "range": ends(low, high, form),
        "p": chance(p_value),
        "certain": certain,
    }


def count_of(value: int, thing: str) -> str:
    """Return a count with its noun: "1 image", "5,000 images"."""
    return f"{value:,} {thing}{'' if value == 1 else 's'}"


def listing(words: list[str]) -> str:
    """Join words in a row: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""
