"""The tokenizer gives what Stanford's PTBTokenizer gives, as COCO's official scoring runs it."""

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.metrics.java import has_java, tokenize_with_stanford
from recap.metrics.tokenization import treebank_words
from recap.metrics.tokenization.treebank import PUNCTUATION, tokenize

needs_java = pytest.mark.skipif(not has_java(), reason="needs Java")

# What the official tokenizer answers.
OFFICIAL = {
    "A man, on a Bike.": "a man on a bike",
    "": "",
    " . ": "",
    "I cannot; 'tis gonna be": "i can not 't is gon na be",
    "It's the dogs' bowls, don't": "it 's the dogs bowls do n't",
    "rock'n'roll ma'am o'clock y'all 'em": "rock 'n' roll ma'am o'clock y' all 'em",
    "(hi) [hi] {hi}": "-lrb- hi -rrb- -lsb- hi -rsb- -lcb- hi -rcb-",
    "a \"quoted\" word 'here'": "a quoted word here",
    "hi!!! what?! ...": "hi !!! what ?!",
    "t-shirt 10-year-old black-and-white": "t-shirt 10-year-old black-and-white",
    "a--b a - b a ---- b -----": "a b a b a b -----",
    "$5.00 US$5 £5 €5 5¢ 5%": "$ 5.00 us$ 5 # 5 $ 5 5 cents 5 %",
    "1 1/2 cups, ½ cup 10:30am 1,000": "1\xa01/2 cups 1/2 cup 10:30 am 1,000",
    "call (412) 555-1234": "call -lrb-412-rrb-\xa0555-1234",
    "St. Louis Mt. Rushmore vs. the U.S. team": "st. louis mt. rushmore vs. the u.s. team",
    "the Ill. team is ill. etc.": "the ill. team is ill etc.",
    "no. 5 and no. Five": "no. 5 and no five",
    "the sign K. The man J. Smith": "the sign k the man j. smith",
    "AT&T b&b &amp; A&B": "at&t b & b & a&b",
    "and/or w/ a/c 1/2/3": "and/or w / a/c 1/2/3",
    "see www.foo.com/bar or http://foo.com/x, me@foo.com 3.jpg": (
        "see www.foo.com/bar or http://foo.com/x me@foo.com 3.jpg"
    ),
    ":) :-( =D ^_^": ":-rrb- :--lrb- =d ^_^",
    "“curly” it’s naïve café – done…": "curly it 's naïve café done",
    "<b>bold</b> <3 a < b": "<b> bold </b> < 3 a < b",
    "snow\u00adboard 😀 ° ©": "snowboard ° ©",
    "www.a.com/b.com-,c a\xad.gz. b": "www.a.com/b.com-,c a\xad.gz b",
    "teh.dog dog,cat dog.The": "teh.dog dog cat dog.the",
}


@pytest.mark.parametrize("caption", OFFICIAL)
def test_rules(caption):
    assert tokenize([caption]) == [OFFICIAL[caption]]


@needs_java
def test_the_examples_are_those_of_the_original():
    assert tokenize_with_stanford(OFFICIAL) == list(OFFICIAL.values())
    markup = ["k <a b='x ", " . ", "  y' >z.", "K. <a b='", "' > a.", "it's"]
    assert tokenize_with_stanford(markup) == tokenize(markup)


def test_a_letter_at_the_end_belongs_to_the_sentence_when_another_one_starts():
    assert tokenize(["Avenue K.", "A man.", "Avenue K.", "Two men."])[::2] == ["avenue k", "avenue k."]


def test_line_ends_inside_a_caption_are_spaces():
    assert tokenize(["a man\non a\r\nbike", "b"]) == ["a man on a bike", "b"]


def test_a_quoted_attribute_of_markup_goes_over_the_ends_of_captions():
    captions = ["k <a b='x ", " . ", "  y' >z.", "K. <a b='", "' > a.", "it's"]
    words = ["k <a\xa0b='x", "\xa0.", "\xa0\xa0y'\xa0> z.", "k <a\xa0b='", "'\xa0> a.", "it 's"]
    assert tokenize(captions) == words


@pytest.mark.shared
def test_every_caption_of_coco_val2017_comes_out_as_the_official_tokenizer_has_it(shared):
    annotations = json.loads((shared / "scoring" / "captions_val2017.json").read_text())["annotations"]
    official = json.loads((shared / "scoring" / "captions_val2017_ptb_tokenized.json").read_text())
    captions: dict[str, list[str]] = {image_id: [] for image_id in official}
    for annotation in annotations:
        captions[str(annotation["image_id"])].append(annotation["caption"])
    expected = [caption for own in official.values() for caption in own]
    assert len(expected) == 25_014
    assert tokenize(caption for own in captions.values() for caption in own) == expected


ODDITIES = """
a A the Man dog's dogs' it's can't cannot won't n't 's 'll 'n' 'til 'twas gonna y'all o'clock d'Art
ol' t-shirt x-ray co-op 10-year-old café naïve é St. Mr. Ave. No. no. Co. PTE. Ltd. Jr. etc. e.g. vs.
U.S. u.s. a.m. K. Ph.D. Jan. ft. approx. fig. Wash. wash. Pty. bldg. 1 10 1,000 3.5 .5 1/2 3/4 1st
90's 1990s '90s 5'10 12:30 5pm $5 5% #1 US$ £5 10-5 555-1234 (412) w/ and/or A/C AT&T www.foo.com
http://foo.com/x me@b.com foo.jpg @foo #foo <b> </b> <3 < > :) :( ;) :D ^_^ & * / \\ | ~ ^ + = _ - --
--- . .. ... .... ! ?! , ; : ' '' ` `` " ( ) [ ] { } “ ” ‘ ’ – — … ° ½ ² ™ € ¢ &amp; &quot;
"""
FRAGMENTS = ODDITIES.split()
CHARACTERS = "abcdest ABCDEST 0123456789 .,;:!?'\"`-_/()[]{}<>@#$%&*+=~^|\\ ’‘“”–—…½²é\u00a0"


def awkward_captions(count: int, seed: int) -> list[str]:
    """Fragments and characters in random order, glued or apart."""
    generator = random.Random(seed)
    captions = []
    for _ in range(count):
        pieces = []
        for _ in range(generator.randint(1, 7)):
            characters = generator.choices(CHARACTERS, k=generator.randint(1, 4))
            pieces.append(generator.choice(FRAGMENTS) if generator.random() < 0.7 else "".join(characters))
            pieces.append(generator.choice(["", " ", " ", " ", "-", ".", "'", ", "]))
        captions.append("".join(pieces))
    return captions


@needs_java
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_awkward_captions_come_out_as_the_original_has_them(seed):
    captions = awkward_captions(3000 if seed == 1 else 60_000, seed)
    different = [
        (caption, ours, official)
        for caption, ours, official in zip(
            captions, tokenize(captions), tokenize_with_stanford(captions), strict=True
        )
        if ours != official
    ]
    assert different == []


REPEATED = (
    *("a,", "a*", "a,1*", "a@.", "www.1", "1.a", "*a.", "<!a", "a. <!a", "U.S. <?x", "<a b='"),
    *("<a b='<a b=\"", "http://,", "K. <b", "'a", "[a", "-a", "a\xad", "... "),
)
"""Texts whose repetition makes a rule look far ahead of many tokens."""


@pytest.mark.parametrize("text", REPEATED)
def test_the_time_is_in_proportion_to_the_text(text):
    def seconds(characters):
        caption = text * (characters // len(text))
        start = time.process_time()
        tokenize([caption])
        return time.process_time() - start

    assert seconds(8_000) < 20 * min(seconds(1_000) for _ in range(3)) + 0.02


@needs_java
def test_what_looks_far_ahead_finds_what_the_original_finds():
    generator = random.Random(3)
    ends = (
        *("", "@b", "@.b", ".com", "x.COM/a", "-b", "-,", ">", "> ", ".gz", ".gz,", ".html b", "' >"),
        *("..ab", "."),
    )
    pieces = (*REPEATED, *ends, "a", "1", ".", ",", "<", "> b", "<b> ", "&lt;", "(", "..", "A. ", "b.\n<!c")
    captions = [text * 10 + end for text in REPEATED for end in ends]
    captions += ["".join(generator.choices(pieces, k=generator.randint(2, 40))) for _ in range(1_000)]
    assert tokenize(captions) == tokenize_with_stanford(captions)


@needs_java
def test_every_listed_word_is_treated_as_the_original_treats_it():
    listed = [word for value in vars(treebank_words).values() if isinstance(value, tuple) for word in value]
    words = sorted({"".join(word) for word in listed})
    places = ("a {}. man", "the {}. The man", "see {}. 5", "x.{}, a", "'{}", "{}' a", "K. {} a", "no {}.")
    cases = [form for word in words for form in (word, word.capitalize(), word.upper())]
    captions = [place.format(form) for form in cases for place in places]
    assert tokenize(captions) == tokenize_with_stanford(captions)


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4))
def test_any_text_becomes_lowercase_words_without_punctuation(captions):
    tokenized = tokenize(captions)
    assert len(tokenized) == len(captions)
    for caption in tokenized:
        words = caption.split(" ") if caption else []
        assert all(word and word not in PUNCTUATION and word == word.lower() for word in words)


@settings(deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=8), st.lists(st.sampled_from(FRAGMENTS), max_size=8))
def test_what_was_found_before_changes_nothing(first, second):
    captions = [" ".join(first), "", " ".join(second), ""]
    assert tokenize(captions)[2] == tokenize(captions[2:])[0]
