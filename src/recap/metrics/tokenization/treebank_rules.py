"""The rules of the Penn Treebank tokenizer of Stanford CoreNLP 3.4.1, as COCO's official scoring runs it.

At each place of a caption the rule that matches most text, what must follow included, gives the token; of
equally long ones the first. Each pattern is written so that its first match is its longest. Letters match
in any case where a pattern says ``(?i:``; "Ill." is a state and "ill." is not.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from recap.metrics.tokenization import treebank_words as words
from recap.metrics.tokenization.treebank_characters import MARKS, OTHER_DIGITS, OTHER_LETTERS, SYMBOLS


class Rule(NamedTuple):
    """A kind of token: the pattern of its text (group 1) and of what must follow, and how it is written."""

    pattern: re.Pattern[str]
    write: Callable[[str], str]


def _as_it_is(token: str) -> str:
    return token


def _without_soft_hyphens(token: str) -> str:
    return token.replace("\xad", "") or "-"


def _number(token: str) -> str:
    return token.replace("\xad", "")


def _in_one_piece(token: str) -> str:
    """Spaces inside a token become no-break spaces."""
    return token.replace(" ", "\xa0")


def _phone(token: str) -> str:
    return _brackets(_in_one_piece(token))


def _brackets(token: str) -> str:
    return token.replace("(", "-lrb-").replace(")", "-rrb-")


def _ampersands(token: str) -> str:
    return re.sub("(?i:&amp;)", "&", token)


def _opening_quote(token: str) -> str:
    token = re.sub("&apos;|'", "`", token)
    return _curly_quotes(re.sub('"|&quot;', "``", token))


def _closing_quote(token: str) -> str:
    token = re.sub("&apos;", "'", token)
    return _curly_quotes(re.sub('"|&quot;', "''", token))


def _curly_quotes(token: str) -> str:
    token = re.sub("[\x91\u2018\u201b\u2039]", "`", token)
    token = re.sub("[\x92\u2019\u203a]", "'", token)
    token = re.sub("[\x93\u201c\xab]", "``", token)
    return re.sub("[\x94\u201d\xbb]", "''", token)


def _constant(text: str) -> Callable[[str], str]:
    return lambda token: text


def _hyphens(token: str) -> str:
    return "--" if 3 <= len(token) <= 4 else token


def _any(texts: Iterable[str]) -> str:
    """One of some texts, in any case; longer ones first, so that the first match is the longest."""
    ordered = sorted(texts, key=lambda text: (-len(text), text))
    return f"(?i:{'|'.join(re.escape(text) for text in ordered)})"


def _any_with_capital(texts: Iterable[str]) -> str:
    """One of some texts whose first letter is a capital, the others in any case."""
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
HYPHENATED = rf"[A-Za-z0-9][A-Za-z0-9.,\xad]*(?:-(?:{INITIALS}\.|[A-Za-z0-9\xad]+))+"
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
QUOTED = r"(?:'[^'\r\n]*'|\"[^\"\r\n]*\")"
ATTRIBUTE = f" +{MARKUP_NAME}(?: *= *{QUOTED})?"
OPENING_TAG = f"{MARKUP_NAME}(?:{ATTRIBUTE})* */?"
MARKUP = rf"<(?:[!?][A-Za-z-][^>\r\n]*|{OPENING_TAG}|/{MARKUP_NAME}) *>"


def _rule(token: str, follows: str = "", write: Callable[[str], str] = _as_it_is) -> Rule:
    return Rule(re.compile(f"({token}){follows}"), write)


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
    _rule(MARKUP, write=_in_one_piece),
    _rule("&(?i:MD|mdash|ndash);|[\x96\x97\u2013-\u2015]", write=_constant("--")),
    _rule("&(?i:amp);", write=_ampersands),
    _rule("&(?:(?i:HT|TL|UR|LR|QC|QL|QR|odq|cdq)|#[0-9]+);"),
    _rule(WORD, REDUCED_VERB, _without_soft_hyphens),
    _rule(NEGATED, NOT, _without_soft_hyphens),
    _rule(WORD, write=_without_soft_hyphens),
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
    _rule(rf"(?i:www)\.(?:{HOST_PART}+\.)+[a-zA-Z]{{2,4}}(?:/{PATH})?"),
    _rule(rf"(?:{BARE_HOST_PART}+\.)+{_any(('com', 'edu', 'net', 'org'))}(?:/{PATH})?"),
    _rule(rf"(?:<|&(?i:lt);)?{MAIL_NAME}@(?:{MAIL_HOST_PART}+\.)*{MAIL_HOST_PART}+(?:>|&(?i:gt);)?"),
    _rule("@[a-zA-Z_][a-zA-Z_0-9]*"),
    _rule(f"#{LETTER}+"),
    _rule(REDUCED_VERB, NOT_A_LETTER, _closing_quote),
    _rule(NOT, NOT_A_LETTER, _closing_quote),
    # Numbers.
    _rule(f"{DIGIT}{{1,2}}[-/]{DIGIT}{{1,2}}[-/]{DIGIT}{{2,4}}"),
    _rule(NUMBER, write=_number),
    _rule("[\u207a\u207b\u208a\u208b]?(?:[\u2070\xb9\xb2\xb3\u2074-\u2079]+|[\u2080-\u2089]+)"),
    _rule(rf"(?:{DIGIT}{{1,4}}[- \xa0])?{DIGIT}{{1,4}}(?:\\?/|\u2044){DIGIT}{{1,4}}", write=_in_one_piece),
    _rule("[\xbc\xbd\xbe\u2153-\u215e]", write=lambda token: FRACTIONS.get(token, token)),
    _rule(KEPT_TOGETHER, write=_ampersands),
    _rule(SLASHED),
    _rule(r"[A-Z]*\$|#"),
    _rule(
        "[\xa2-\xa5\x80\u20a0\u20ac\u060b\u0e3f\u20a4\uffe0\uffe1\uffe5\uffe6]",
        write=lambda token: CURRENCIES.get(token, token),
    ),
    # Abbreviations.
    _rule("[A-Za-z]", rf"\.{BLANK}+(?:{NEXT_SENTENCE}|{MARKUP}){BLANK}"),
    _rule(rf"{INITIALS}\.", rf"{BLANK}+(?:{NEXT_SENTENCE}|{MARKUP}){BLANK}"),
    _rule(rf"{BEFORE_NUMBERS}\.", f"{BLANK}?{DIGIT}"),
    _rule(rf"{BEFORE_LIMITED}\.", f"{SPACE}(?i:ltd|lim)"),
    _rule(rf"{BEFORE_LOWER_CASE}\.", r"[\s\S]{2}"),
    _rule(rf"{BEFORE_LOWER_CASE}\."),
    _rule(rf"{BEFORE_UPPER_CASE}\."),
    _rule(BEFORE_UPPER_CASE, SPACE),
    _rule(INITIALS, BLANK),
    _rule(f"{APOSTROPHE}[0-9]{{2}}", BLANK),
    _rule(rf"{ALNUM}+(?:\.{ALNUM}+)*\.{_any(words.FILE_ENDINGS)}", f"(?:{BLANK}|[.,?!])"),
    _rule(rf"{WORD}\.", "[,;:\u3001]", _without_soft_hyphens),
    # Telephones.
    _rule(rf"\([0-9]{{2,3}}\)[ \xa0]?{SUBSCRIBER}", write=_phone),
    _rule(f"{COUNTRY}{TELEPHONE_GAP}(?:[0-9]{{2,4}}{TELEPHONE_GAP})?{SUBSCRIBER}", write=_phone),
    _rule(rf"(?:{COUNTRY}\.)?[0-9]{{2,4}}\.[0-9]{{3,4}}\.[0-9]{{3,5}}", write=_phone),
    # Signs.
    _rule('"|&(?i:quot);', "[A-Za-z0-9$]", _opening_quote),
    _rule('"|&(?i:quot);', write=_closing_quote),
    _rule("<|&(?i:lt);", write=_constant("<")),
    _rule(">|&(?i:gt);", write=_constant(">")),
    _rule(FACE, "[^A-Za-z0-9]", _brackets),
    _rule(EASTERN_FACE, write=_brackets),
    _rule(r"[][(){}]", write=lambda token: BRACKET_NAMES[token]),
    _rule("-+", write=_hyphens),
    _rule(ELLIPSIS, rf"\.{SPACE}+{LETTER}", _constant("...")),
    _rule(SPACED_ELLIPSIS, rf"{SPACE}\.{SPACE}+{LETTER}", _constant("...")),
    _rule(f"{ELLIPSIS}|{SPACED_ELLIPSIS}", write=_constant("...")),
    _rule(r"@+|#+|_+|\*+|(?:\\\*){1,3}"),
    _rule("[,;:\u3001]|[?!]+|[.¡¿\u037e\u0589\u061f\u06d4\u0700-\u0702\u07fa\u3002]|=|/"),
    # Compounds.
    _rule(rf"{HYPHENATED}\.", "[,;:\u3001]", _without_soft_hyphens),
    _rule(HYPHENATED, write=_without_soft_hyphens),
    _rule(rf"{COMPOUND}\.", "[,;:\u3001]"),
    _rule(COMPOUND),
    _rule(rf"{COMPANY}\.", "[,;:\u3001]", _ampersands),
    _rule(COMPANY, write=_ampersands),
    # Quotation marks, an opening one before a word of two letters.
    _rule("'", r"[A-Za-z][^ \t\n\r\xa0]", _opening_quote),
    _rule(REDUCED_VERB, write=_closing_quote),
    _rule(f"''|[`\u2018-\u201f\x91-\x94\u2039\u203a\xab\xbb]{{1,2}}|{APOSTROPHE}", write=_closing_quote),
    _rule("<<|>>"),
    _rule(f"&(?i:nbsp);|{SPACE}+", write=_constant("")),
    _rule(rf"[+%&~^|\\{SYMBOLS}]"),
]
