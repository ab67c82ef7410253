"""The rules of the Penn Treebank tokenizer of Stanford CoreNLP 3.4.1, as COCO's official scoring runs it.

At each place of a caption the rule that matches most text, what must follow included, gives the token; of
equally long ones the first. Each pattern is written so that its first match is its longest. Letters match
in any case where a pattern says ``(?i:``; "Ill." is a state and "ill." is not.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from recap.metrics.tokenization import treebank_words as words
from recap.metrics.tokenization import treebank_writing as writing
from recap.metrics.tokenization.treebank_characters import MARKS, OTHER_DIGITS, OTHER_LETTERS, SYMBOLS


class Rule(NamedTuple):
    """A kind of token: the pattern of its text (group 1) and of what must follow, and how it is written.

    ``in_vain`` matches the text in which no token of the kind begins if none begins at its start. It keeps
    the time in proportion to the text: such a kind may look far ahead in vain at each of many short tokens.
    """

    pattern: re.Pattern[str]
    write: Callable[[str], str]
    in_vain: re.Pattern[str] | None


def _any(texts: Iterable[str]) -> str:
    """Return a pattern of texts, in any case; longer ones first, so that the first match is the longest."""
    ordered = sorted(texts, key=lambda text: (-len(text), text))
    return f"(?i:{'|'.join(re.escape(text) for text in ordered)})"


def _any_with_capital(texts: Iterable[str]) -> str:
    """Return a pattern of texts whose first letter is a capital, the others in any case."""
    ordered = sorted(texts, key=lambda text: (-len(text), text))
    return f"(?:{'|'.join(f'{text[0].upper()}(?i:{re.escape(text[1:])})' for text in ordered)})"


def _one_of(characters: str) -> str:
    return f"[{re.escape(characters)}]"


def _none_of(characters: str) -> str:
    return f"[^{re.escape(characters)}]"


QUOTE, BACKSLASH = "'", chr(92)
CURRENCIES = {"\xa2": "cents", "\xa3": "#", "\x80": "$", "\xa4": "$", "\u20a0": "$", "\u20ac": "$"}
FRACTIONS = {"\xbc": "1/4", "\xbd": "1/2", "\xbe": "3/4", "\u2153": "1/3", "\u2154": "2/3"}

SPACE = "[ \t\xa0\u2000-\u200a\u3000]"
BLANK = "[ \t\n\xa0\u2000-\u200a\u3000]"
NOT_A_LETTER = "[^A-Za-z]"
ENTITY_LETTER = "&[aeiouAEIOU](?i:acute|grave|uml);"
LETTER = f"(?:[A-Za-z{OTHER_LETTERS}{MARKS}]|{ENTITY_LETTER})"
PLAIN_LETTER = f"[A-Za-z{OTHER_LETTERS}]"
DIGIT = f"[0-9{OTHER_DIGITS}]"
LETTER_OR_DIGIT = f"(?:[0-9A-Za-z{OTHER_DIGITS}{OTHER_LETTERS}{MARKS}]|{ENTITY_LETTER})"
WORD = f"{LETTER}{LETTER_OR_DIGIT}*(?:[.!?]{LETTER}{LETTER_OR_DIGIT}*)*"
APOSTROPHE = "(?:['\x92\u2019]|&(?i:apos);)"
ANY_APOSTROPHE = f"(?:{APOSTROPHE}|[`\x91\u2018\u201b])"
REDUCED_VERB = f"{APOSTROPHE}(?:[msdMSD]|(?i:re|ve|ll))"
NOT = f"(?i:n){ANY_APOSTROPHE}(?i:t)"
NEGATED = "[A-Za-z\xad]*[A-MO-Za-mo-z]\xad*"

NUMBER = f"[-+]?(?:{DIGIT}*(?:[.:,\xad\u066b\u066c]{DIGIT}+)+|{DIGIT}+)"

ALNUM = f"[0-9A-Za-z{OTHER_DIGITS}{OTHER_LETTERS}]"
HYPHEN = "[-_\u058a\u2010\u2011]"
ELISION = f"(?:[dDoOlL]{ANY_APOSTROPHE}{ALNUM})?"
COMPOUND = f"{ELISION}{ALNUM}+(?:{HYPHEN}{ELISION}{ALNUM}+)*"
ANY_US = rf"{_any(words.BEFORE_US)}-(?i:u\.s)|(?i:u\.s\.-u\.k)|(?i:u\.s\.-u\.s\.s\.r)"
INITIALS = rf"(?:{ANY_US}|[A-Za-z](?:\.[A-Za-z])+)"
BEFORE_HYPHEN = r"[A-Za-z0-9][A-Za-z0-9.,\xad]*"
HYPHENATED = rf"{BEFORE_HYPHEN}(?:-(?:{INITIALS}\.|[A-Za-z0-9\xad]+))+"
COMPANY = "[A-Z]+(?:(?:[+&]|&(?i:amp);)[A-Z]+)+"
SLASHED = r"[0-9A-Za-z]+(?:-[A-Za-z]+){0,2}(?:\\?/[0-9A-Za-z]+(?:-[A-Za-z]+){0,2}){1,2}"

PARTNERSHIP = "(?i:p?pt)[ye](?i:s?)"  # the y or e is small
ABBREVIATIONS = (
    *(words.MONTHS + words.DAYS + words.STATES + words.COMPANIES + words.AFTER_NAMES + words.PLACES),
    *words.CITATIONS,
)
BEFORE_LOWER_CASE = (
    f"(?:{_any(ABBREVIATIONS)}|{_any_with_capital(words.STATES_THAT_ARE_WORDS)}|{PARTNERSHIP})"
)
TITLES = (*(words.PEOPLE + words.OFFICES + words.RANKS + words.BEFORE_PLACES + words.BEFORE_OTHERS),)
MANUFACTURING_OR_MEETING = "(?i:m)[ft](?i:g)"  # the f or t is small
BEFORE_UPPER_CASE = (
    f"(?:{INITIALS}|{_any_with_capital(['miss'])}|{_any(TITLES)}|{MANUFACTURING_OR_MEETING}|[A-Za-z])"
)
BEFORE_LIMITED = _any(("co", "pte", "pty"))
BEFORE_NUMBERS = _any(words.BEFORE_NUMBERS)
NEXT_SENTENCE = _any_with_capital(words.SENTENCE_STARTS)
MARKUP_NAME = "[A-Za-z][A-Za-z0-9_:.-]*"
QUOTED = "(?:'[^']*'|\"[^\"]*\")"
ATTRIBUTE = f" +{MARKUP_NAME}(?: *= *{QUOTED})?"
DECLARATION_START = "<[!?][A-Za-z-]"
DECLARATION = rf"{DECLARATION_START}[^>\r\n]*"
TAG = f"<(?:{MARKUP_NAME}(?:{ATTRIBUTE})*(?: */)?|/{MARKUP_NAME}) *>"
NEXT = f"{BLANK}+(?:{NEXT_SENTENCE}|{TAG}){BLANK}"
DECLARATIONS = rf"{BLANK}+(?={DECLARATION_START})[^>\r\n]*(?={DECLARATION_START})"


def _rule(
    token: str, follows: str = "", write: Callable[[str], str] = writing.as_it_is, in_vain: str | None = None
) -> Rule:
    return Rule(re.compile(f"({token}){follows}"), write, None if in_vain is None else re.compile(in_vain))


BRACKET_NAMES = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
FACE = f"[<>]?{_one_of(':;=')}{_one_of('-o*' + QUOTE)}?{_one_of('()DPdpO@{[]|' + BACKSLASH)}"
ROUND_EYE, EYE = _one_of("^x=~<>"), _one_of("^x=~<>-'")
EASTERN_FACE = "|".join(
    (
        ROUND_EYE + re.escape(".[^x=~<>]"),  # the second eye is this text, as it is
        f"{EYE}_{EYE}",
        rf"\({EYE}[_.]?{EYE}\)",
        rf"\({_one_of('^x=~<>' + QUOTE)}-{_one_of('^x=~<>`' + QUOTE)}\)",
    )
)
ELLIPSIS = r"(?:\.{3,5}|[\x85\u2026])"
SPACED_ELLIPSIS = r"(?:\.[ \xa0]){2,4}\."
KEPT_TOGETHER = "|".join(
    (
        _any((*words.KEPT_TOGETHER, *(word.replace("&", "&amp;") for word in words.KEPT_TOGETHER))),
        f"(?i:cap){APOSTROPHE}(?i:n)",
        f"(?i:c){APOSTROPHE}(?i:est)",
    )
)

# Addresses end before white space, quotation marks and angle brackets, and not with a sign of punctuation.
NO_ADDRESS = ' \t\n\f\r"<>|'
ADDRESS_END = _none_of(NO_ADDRESS + ".!?(){},-")
PATH = f"{_none_of(NO_ADDRESS + '()')}+{ADDRESS_END}"
HOST_PART = _none_of(NO_ADDRESS + ".!?(){},")
WORLD_WIDE_WEB = rf"(?i:www)\.(?:{HOST_PART}+\.)+[a-zA-Z]{{2,4}}"
BARE_HOST_PART = (
    f"[^{re.escape(NO_ADDRESS + '`.!?(){}$' + QUOTE)},-_]"  # a range: all from the comma to the underscore
)
MAIL_HOST_PART = _none_of(NO_ADDRESS + "(){}.\xa0")
MAIL_NAME = f"[a-zA-Z0-9]{_none_of(NO_ADDRESS + '(){}' + chr(0xA0))}*"

TELEPHONE_GAP = "[- \xa0]"
COUNTRY = r"(?:\+\+?)?[0-9]{2,4}"
SUBSCRIBER = f"[0-9]{{3,4}}{TELEPHONE_GAP}?[0-9]{{3,5}}"

RULES = [
    *(_rule(f"(?i:{first})", f"(?i:{second})") for first, second in words.SPLIT),
    _rule(r"(?i:c\+\+|[cCfF]#)"),
    _rule(f"{DECLARATION}>", write=writing.in_one_piece, in_vain=DECLARATION),
    _rule(TAG, write=writing.in_one_piece),
    _rule("&(?i:MD|mdash|ndash);|[\x96\x97\u2013-\u2015]", write=writing.constant("--")),
    _rule("&(?i:amp);", write=writing.ampersands),
    _rule("&(?:(?i:HT|TL|UR|LR|QC|QL|QR|odq|cdq)|#[0-9]+);"),
    _rule(WORD, REDUCED_VERB, writing.without_soft_hyphens),
    _rule(NEGATED, NOT, writing.without_soft_hyphens),
    _rule(WORD, write=writing.without_soft_hyphens),
    # Words that an apostrophe belongs to.
    _rule(f"{APOSTROPHE}(?i:n){APOSTROPHE}?"),
    _rule(f"(?:(?i:[ldj])|{_any(words.BEFORE_APOSTROPHE)}){APOSTROPHE}"),
    _rule(f"{APOSTROPHE}(?:{_any(words.AFTER_APOSTROPHE)}|[2-9](?i:0s))"),
    _rule(f"[A-HJ-XZn]{ANY_APOSTROPHE}{PLAIN_LETTER}{{2,}}"),
    _rule(f"{PLAIN_LETTER}+[aeiouyAEIOUY]{ANY_APOSTROPHE}[aeiouA-Z]{PLAIN_LETTER}*"),
    _rule(_any(words.WITH_APOSTROPHE)),
    _rule(f"[oO]{ANY_APOSTROPHE}[oO]"),
    _rule(f"[yY]{APOSTROPHE}", PLAIN_LETTER),
    # Addresses.
    _rule(f"(?i:https?)://{_none_of(NO_ADDRESS + '(){}')}+{ADDRESS_END}"),
    _rule(
        f"{WORLD_WIDE_WEB}/{PATH}|{WORLD_WIDE_WEB}",  # the longest: a part of the host may hold a slash
        in_vain=rf"(?i:www)(?:\.{HOST_PART}+)+",
    ),
    _rule(
        rf"(?:{BARE_HOST_PART}+\.)+{_any(('com', 'edu', 'net', 'org'))}(?:/{PATH})?",
        in_vain=rf"{BARE_HOST_PART}+(?:\.{BARE_HOST_PART}+)*",
    ),
    _rule(
        rf"(?:<|&(?i:lt);)?{MAIL_NAME}@(?:{MAIL_HOST_PART}+\.)*{MAIL_HOST_PART}+(?:>|&(?i:gt);)?",
        in_vain=f"<?{MAIL_NAME}",
    ),
    _rule("@[a-zA-Z_][a-zA-Z_0-9]*"),
    _rule(f"#{LETTER}+"),
    _rule(REDUCED_VERB, NOT_A_LETTER, writing.closing_quote),
    _rule(NOT, NOT_A_LETTER, writing.closing_quote),
    # Numbers.
    _rule(f"{DIGIT}{{1,2}}[-/]{DIGIT}{{1,2}}[-/]{DIGIT}{{2,4}}"),
    _rule(NUMBER, write=writing.without_soft_hyphens),
    _rule("[\u207a\u207b\u208a\u208b]?(?:[\u2070\xb9\xb2\xb3\u2074-\u2079]+|[\u2080-\u2089]+)"),
    _rule(
        rf"(?:{DIGIT}{{1,4}}[- \xa0])?{DIGIT}{{1,4}}(?:\\?/|\u2044){DIGIT}{{1,4}}", write=writing.in_one_piece
    ),
    _rule("[\xbc\xbd\xbe\u2153-\u215e]", write=lambda token: FRACTIONS.get(token, token)),
    _rule(KEPT_TOGETHER, write=writing.ampersands),
    _rule(SLASHED),
    _rule(r"[A-Z]*\$|#"),
    _rule(
        "[\xa2-\xa5\x80\u20a0\u20ac\u060b\u0e3f\u20a4\uffe0\uffe1\uffe5\uffe6]",
        write=lambda token: CURRENCIES.get(token, token),
    ),
    # Abbreviations.
    _rule("[A-Za-z]", rf"\.{NEXT}"),
    _rule("[A-Za-z]", rf"\.{BLANK}+{DECLARATION}>{BLANK}", in_vain=rf"[A-Za-z]\.{DECLARATIONS}"),
    _rule(rf"{INITIALS}\.", NEXT),
    _rule(rf"{INITIALS}\.", rf"{BLANK}+{DECLARATION}>{BLANK}", in_vain=rf"{INITIALS}\.{DECLARATIONS}"),
    _rule(rf"{BEFORE_NUMBERS}\.", f"{BLANK}?{DIGIT}"),
    _rule(rf"{BEFORE_LIMITED}\.", f"{SPACE}(?i:ltd|lim)"),
    _rule(rf"{BEFORE_LOWER_CASE}\.", r"[\s\S]{2}"),
    _rule(rf"{BEFORE_LOWER_CASE}\."),
    _rule(rf"{BEFORE_UPPER_CASE}\."),
    _rule(BEFORE_UPPER_CASE, SPACE),
    _rule(INITIALS, BLANK),
    _rule(f"{APOSTROPHE}[0-9]{{2}}", BLANK),
    _rule(
        rf"{LETTER_OR_DIGIT}+(?:\.{LETTER_OR_DIGIT}+)*\.{_any(words.FILE_ENDINGS)}",
        f"(?:{BLANK}|[.,?!])",
        in_vain=rf"{LETTER_OR_DIGIT}+(?:\.{LETTER_OR_DIGIT}+)*",
    ),
    _rule(rf"{WORD}\.", "[,;:\u3001]", writing.without_soft_hyphens),
    # Telephones.
    _rule(rf"\([0-9]{{2,3}}\)[ \xa0]?{SUBSCRIBER}", write=writing.phone),
    _rule(f"{COUNTRY}{TELEPHONE_GAP}(?:[0-9]{{2,4}}{TELEPHONE_GAP})?{SUBSCRIBER}", write=writing.phone),
    _rule(rf"(?:{COUNTRY}\.)?[0-9]{{2,4}}\.[0-9]{{3,4}}\.[0-9]{{3,5}}", write=writing.phone),
    # Signs.
    _rule('"|&(?i:quot);', "[A-Za-z0-9$]", writing.opening_quote),
    _rule('"|&(?i:quot);', write=writing.closing_quote),
    _rule("<|&(?i:lt);", write=writing.constant("<")),
    _rule(">|&(?i:gt);", write=writing.constant(">")),
    _rule(FACE, "[^A-Za-z0-9]", writing.brackets),
    _rule(EASTERN_FACE, write=writing.brackets),
    _rule(r"[][(){}]", write=lambda token: BRACKET_NAMES[token]),
    _rule("-+", write=writing.hyphens),
    _rule(ELLIPSIS, rf"\.{SPACE}+{LETTER}", writing.constant("...")),
    _rule(SPACED_ELLIPSIS, rf"{SPACE}\.{SPACE}+{LETTER}", writing.constant("...")),
    _rule(f"{ELLIPSIS}|{SPACED_ELLIPSIS}", write=writing.constant("...")),
    _rule(r"@+|#+|_+|\*+|(?:\\\*){1,3}"),
    _rule("[,;:\u3001]|[?!]+|[.¡¿\u037e\u0589\u061f\u06d4\u0700-\u0702\u07fa\u3002]|=|/"),
    # Compounds.
    _rule(rf"{HYPHENATED}\.", "[,;:\u3001]", writing.without_soft_hyphens, BEFORE_HYPHEN),
    _rule(HYPHENATED, write=writing.without_soft_hyphens, in_vain=BEFORE_HYPHEN),
    _rule(rf"{COMPOUND}\.", "[,;:\u3001]"),
    _rule(COMPOUND),
    _rule(rf"{COMPANY}\.", "[,;:\u3001]", writing.ampersands),
    _rule(COMPANY, write=writing.ampersands),
    # Quotation marks, an opening one before a word of two letters.
    _rule("'", r"[A-Za-z][^ \t\n\r\xa0]", writing.opening_quote),
    _rule(REDUCED_VERB, write=writing.closing_quote),
    _rule(
        f"''|[`\u2018-\u201f\x91-\x94\u2039\u203a\xab\xbb]{{1,2}}|{APOSTROPHE}", write=writing.closing_quote
    ),
    _rule("<<|>>"),
    _rule(f"&(?i:nbsp);|{SPACE}+", write=writing.constant("")),
    _rule(rf"[+%&~^|\\{SYMBOLS}]"),
]
