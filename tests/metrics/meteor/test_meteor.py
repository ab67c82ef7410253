"""METEOR in Python against answers of the original."""

import gzip
import itertools
import json
import random
from pathlib import Path

import pytest
from tests.metrics.meteor.jar import ask

from recap.metrics.java import has_java
from recap.metrics.meteor.alignment import align
from recap.metrics.meteor.matching import Match, Matcher
from recap.metrics.meteor.normalization import normalize
from recap.metrics.meteor.paraphrases import Paraphrases, load
from recap.metrics.meteor.scoring import count_captions, count_statistics, meteor, score_statistics
from recap.metrics.meteor.stemming import stem
from recap.metrics.meteor.tables import Synonyms, Tables

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))
ROWS = GOLDEN["captions"]
CAPTIONS, REFERENCES = [row["caption"] for row in ROWS], [row["references"] for row in ROWS]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("don't touch the dogs' rock'n'roll", "don 't touch the dogs ' rock 'n'roll"),
        ("a-b-c black-and-white -lrb- a- -b x -- y", "a b-c black and white -lrb- a- -b x - y"),
        ("u.s. ph.d. etc. mr. 5 Mr. 5 3.14. the end.", "us phd etc. mr . 5 mr. 5 3.14. the end ."),
        ("1,000 1,a a,b a,,b 10:30 1/2 $5 a..b", "1,000 1 , a a , b a , ,b 10 : 30 1 / 2 $ 5 a .. b"),
        ("“quoted” `x` café ÀÉ日本 a\u00a0b", "\" quoted \" ' x ' café àé 日 本 a b"),
        ("a—b a–b 3–4 c - d", "a — b a - b 3 - 4 c - d"),
        ("No.\u3000b '\u00a0'c 0. z", "no . b ' ' c 0. z"),
    ],
)
def test_captions_are_split_as_the_original_does(caption, words):
    assert normalize(caption) == tuple(words.split(" "))


def test_stems_are_those_of_the_original_stemmer():
    stems = {
        **{
            "lowballing": "lowbal",
            "readably": "readabl",
            "exaltations": "exalt",
            "orthodonture": "orthodontur",
        },
        **{"skies": "sky", "dying": "die", "news": "news", "inning": "inning", "generously": "generous"},
        **{"hopping": "hop", "hoping": "hope", "ties": "tie", "cries": "cri", "gas": "gas", "kiwis": "kiwi"},
        **{"dog's": "dog", "proceed": "proceed", "analogist": "analogist", "happily": "happili", "by": "by"},
    }
    assert {word: stem(word) for word in stems} == stems


def small_tables() -> Tables:
    synonyms = Synonyms({"car": "1", "automobile": "1 4", "mouse": "2", "pass": "3"}, {"mice": ("mouse",)})
    paraphrases = Paraphrases.of_pairs([("sat", "was sitting"), ("was sitting", "sat")])
    return Tables(frozenset({"a", "the"}), synonyms, paraphrases)


def test_synonyms_are_found_by_base_forms():
    synonyms = small_tables().synonyms
    assert synonyms.of("cars") == {1}
    assert synonyms.of("automobiles") == {1, 4}
    assert synonyms.of("mice") == synonyms.of("mouse") == {2}
    assert synonyms.of("as") == set()


def test_phrases_are_found_in_every_text_where_they_stand():
    pairs = [("a b", "c"), ("c", "é è"), ("a b", "c c")]
    table = Paraphrases.of_pairs(pairs)
    texts = [["x", "a", "b"], [], ["c", "c"], ["é", "è"], ["b", "x" * 300, "c"], ["a", "b"]]
    found = table.find(texts)
    places = [[(start, length) for start, length, _ in own] for own in found]
    assert places == [[(1, 2)], [], [(0, 1), (0, 2), (1, 1)], [(0, 2)], [(2, 1)], [(0, 2)]]
    first = found[0][0][2]
    assert list(table.listed(first)) == [found[2][0][2], found[2][1][2]]
    assert table.find([[], []]) == [[], []]
    assert table.find([["x" * 300]]) == [[]]


def test_phrases_of_a_very_long_text_are_found():
    table = Paraphrases.of_pairs([("a b", "c")])
    words = ["x"] * 19_999 + ["a", "b"] + ["x"] * 30_000 + ["c"]
    (found,) = table.find([words])
    assert [(start, length) for start, length, _ in found] == [(19_999, 2), (50_001, 1)]


def test_captions_are_read_as_they_are_needed():
    """So that memory does not grow with their number."""
    sentence = next(Matcher(small_tables()).prepare(itertools.repeat("a car")))
    assert sentence.words == ("a", "car")


def test_a_word_said_thousands_of_times_is_matched_once():
    repeated = 10_000
    matcher = Matcher(small_tables())
    caption, reference = matcher.prepare(["car", "car " * repeated])
    matches = align(matcher.match(caption, reference), len(reference.words))
    score = score_statistics(count_statistics(caption, reference, matches))
    mean = 1 / (0.15 + 0.85 * repeated)
    matched_words = 1
    assert matches == [Match(0, 1, matches[0].reference_start, matched_words, 0)]
    assert score == pytest.approx(mean * (1 - 0.6), rel=1e-12)


def test_a_phrase_matches_a_phrase():
    matcher = Matcher(small_tables())
    caption, reference = matcher.prepare(["the cars sat", "an automobile was sitting"])
    matches = align(matcher.match(caption, reference), len(reference.words))
    assert matches == [Match(1, 1, 1, 1, 2), Match(2, 1, 2, 2, 3)]
    counts = count_statistics(caption, reference, matches)
    chunks_and_matched_words = counts[-3:]
    assert chunks_and_matched_words == [1, 2, 3]


def test_every_word_is_in_at_most_one_match():
    generator = random.Random(0)
    matcher = Matcher(small_tables())
    for _ in range(300):
        words = ["a", "the", "car", "cars", "automobile", "sat", "was", "sitting", "mice", "mouse"]
        caption, reference = matcher.prepare(
            [" ".join(generator.choices(words, k=generator.randint(0, 12))) for _ in range(2)]
        )
        matches = align(matcher.match(caption, reference), len(reference.words))
        own = [place for match in matches for place in range(match.start, match.start + match.length)]
        others = [
            place
            for match in matches
            for place in range(match.reference_start, match.reference_start + match.reference_length)
        ]
        assert len(set(own)) == len(own)
        assert len(set(others)) == len(others)
        assert 0 <= score_statistics(count_statistics(caption, reference, matches)) <= 1


def check_golden(cache: Path) -> None:
    assert list(count_captions(CAPTIONS, REFERENCES, cache)) == [row["counts"] for row in ROWS]
    result = meteor(CAPTIONS, REFERENCES, cache)
    assert result.scores == pytest.approx([row["score"] for row in ROWS], rel=0, abs=1e-12)
    assert result.total == pytest.approx(GOLDEN["total"], rel=0, abs=1e-12)


def test_counts_and_scores_are_those_of_the_original(monkeypatch, tmp_path):
    """With the part of the paraphrases that these captions need."""
    paraphrases = Paraphrases.of_pairs([tuple(pair) for pair in GOLDEN["paraphrases"]])
    monkeypatch.setattr("recap.metrics.meteor.tables.paraphrases.load", lambda source, cache: paraphrases)
    check_golden(tmp_path)


@pytest.mark.slow
def test_the_whole_table_gives_the_same(tmp_path):
    check_golden(tmp_path)


def test_a_table_is_compiled_once_and_again_where_its_file_is_damaged(tmp_path):
    source, cache = tmp_path / "table.gz", tmp_path / "cache"
    source.write_bytes(gzip.compress(b"0.5\nsat\nwas sitting\n0.5\nsat\nsits\n"))
    texts = [["he", "was", "sitting"], ["sat"]]
    expected = load(source, cache).find(texts)
    assert [len(found) for found in expected] == [1, 1]
    (file,) = cache.iterdir()
    written = file.stat().st_mtime_ns
    assert load(source, cache).find(texts) == expected
    assert file.stat().st_mtime_ns == written
    file.write_bytes(file.read_bytes()[:100])
    assert load(source, cache).find(texts) == expected
    assert [path.name for path in cache.iterdir()] == [file.name]
    assert load(source, source / "no folder").find(texts) == expected
    source.write_bytes(gzip.compress(b"0.5\nsat\nsits\n"))
    assert load(source, cache).find(texts)[0] == []


@pytest.mark.parametrize("beam", [1, 2, 5, 40])
def test_alignments_are_those_of_the_original(beam):
    for row in GOLDEN["alignments"]:
        caption, reference = row["caption"].split(), row["reference"].split()
        matches = [
            Match(start, 1, place, 1, 0)
            for start, word in enumerate(caption)
            for place, other in enumerate(reference)
            if word == other
        ]
        aligned = [(match.start, match.reference_start) for match in align(matches, len(reference), beam)]
        assert aligned == [tuple(pair) for pair in row[str(beam)]], row


@pytest.mark.slow
@pytest.mark.skipif(not has_java(), reason="needs Java")
def test_the_golden_answers_are_what_java_says():
    counts, scores, total = ask(list(zip(CAPTIONS, REFERENCES, strict=True)))
    assert counts == [row["counts"] for row in ROWS]
    assert scores == [row["score"] for row in ROWS]
    assert total == GOLDEN["total"]
