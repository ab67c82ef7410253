"""The rules of the Penn Treebank tokenizer of Stanford CoreNLP 3.4.1, as COCO's official scoring runs it.

At each place of a caption the rule that matches most text, what must follow included, gives the token; of
equally long ones the first. Each pattern is written so that its first match is its longest. Letters match
in any case where a pattern says ``(?i:``; "Ill." is a state and "ill." is not.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from recap.evaluation.treebank_characters import MARKS, OTHER_DIGITS, OTHER_LETTERS, SYMBOLS


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
INITIALS = (
    r"(?:(?i:Canada|Sino|Korean|EU|Japan|non)-(?i:U\.S)|(?i:U\.S\.-U\.K|U\.S\.-U\.S\.S\.R)"
    r"|[A-Za-z](?:\.[A-Za-z])+)"
)
HYPHENATED = rf"[A-Za-z0-9][A-Za-z0-9.,\xad]*(?:-(?:{INITIALS}\.|[A-Za-z0-9\xad]+))+"
COMPANY = "[A-Z]+(?:(?:[+&]|&(?i:amp);)[A-Z]+)+"
SLASHED = r"[0-9A-Za-z]+(?:-[A-Za-z]+){0,2}(?:\\?/[0-9A-Za-z]+(?:-[A-Za-z]+){0,2}){1,2}"

MONTHS = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
DAYS = "Mon|Tues?|Wed|Thu(?:rs)?|Fri"
STATES = (
    "Ala|Ariz|Calif|Colo|Conn|Ct|Dak|Fla|Ga|Ind|Kans?|Ky|Md|Mich|Minn|Mo|Mont|Neb|Nev|Okla|Penn|Tenn|Va|Vt"
    "|Wisc?|Wyo"
)
CAPITAL_STATES = "A(?i:z|rk)|D(?i:el)|I(?i:ll)|L(?i:a)|M(?i:ass|iss)|O(?i:re)|P(?i:a)|T(?i:ex)|W(?i:ash)"
COMPANIES = "(?i:Inc|Cos?|Corp|Ltd|Plc|Rt|Bancorp|Bhd|Assn|Univ|Intl|Sys)|(?i:Pp?t)[ye](?i:s?)"
TITLES = (
    "Mr|Mrs|Ms|Drs?|Profs?|Sens?|Reps?|Attys?|Lt|Col|Gen|Messrs|Govs?|Adm|Rev|Maj|Sgt|Cpl|Pvt|Capt|Ste?|Ave"
    "|Pres|Lieut|Hon|Brig|Co?mdr|Pfc|Spc|Supts?|Det|Mt|Ft|Adj|Adv|Asst|Assoc|Ens|Insp|Mlle|Mme|Msgr|Sfc"
)
BEFORE_LOWER_CASE = (
    rf"(?:(?i:{MONTHS}|{DAYS}|{STATES}|tel|est|ext|sq|Jr|Sr|Bros|Ed\.D|Ph\.D|Blvd|Rd|Esq|etc|al|seq|Bldg)"
    rf"|{CAPITAL_STATES}|{COMPANIES})"
)
BEFORE_UPPER_CASE = (
    rf"(?:{INITIALS}|M(?i:iss)|(?i:{TITLES}|vs|Alex|Wm|Jos|Cie|cf|Treas|Ph|Invt|Elec|Natl|Dept)"
    r"|(?i:M)[ft](?i:g)|[A-Za-z])"
)
BEFORE_LIMITED = "(?i:pt[ey]|co)"
BEFORE_NUMBERS = "(?i:ca|figs?|prop|nos?|art|bldg|pp|op)"
SENTENCE_STARTS = (
    "About|According|Additionally|After|An|A|As|At|But|Earlier|He|Her|Here|However|If|In|It|Last|Many|More"
    r"|Mr\.|Ms\.|Now|Once|One|Other|Our|She|Since|So|Some|Such|That|The|Their|Then|There|These|They|This|We"
    "|When|While|What|Yet|You"
)
NEXT_SENTENCE = "|".join(f"{word[0]}(?i:{word[1:]})" for word in SENTENCE_STARTS.split("|"))
FILE_ENDINGS = (
    "bat|bmp|c|class|cgi|cpp|dll|docx?|exe|gif|gz|h|html?|jar|java|jpe?g|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql"
    "|tar|txt|wav|x|xml|zip"
)
URL_END = r"""[^ \t\n\f\r"<>|.!?(){},-]"""
MARKUP_NAME = "[A-Za-z][A-Za-z0-9_:.-]*"
QUOTED = r"(?:'[^'\r\n]*'|\"[^\"\r\n]*\")"
MARKUP = (
    rf"<(?:[!?][A-Za-z-][^>\r\n]*|{MARKUP_NAME}(?: +{MARKUP_NAME}(?: *= *{QUOTED})?)* */?|/{MARKUP_NAME}) *>"
)


def _rule(token: str, follows: str = "", write: Callable[[str], str] = _as_it_is) -> Rule:
    return Rule(re.compile(f"({token}){follows}"), write)


BRACKET_NAMES = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
EYES_AND_MOUTH = r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]"
EASTERN_FACE = (
    r"[\^x=~<>]\.\[\^x=~<>]|[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)"
)
ELLIPSIS = r"(?:\.{3,5}|[\x85\u2026])"
SPACED_ELLIPSIS = r"(?:\.[ \xa0]){2,4}\."
KEPT_TOGETHER = (
    r"-(?i:RRB|LRB|RCB|LCB|RSB|LSB)-|(?i:C\.D\.s|pro-|anti-|S(?:&|&amp;)P-500|S(?:&|&amp;)Ls)"
    rf"|(?i:Cap){APOSTROPHE}(?i:n)|(?i:c){APOSTROPHE}(?i:est)"
)

RULES = [
    _rule("(?i:can)", "(?i:not)"),
    _rule("'(?i:t)", "(?i:was|is)"),
    _rule("(?i:gon|wan)", "(?i:na)"),
    _rule("(?i:got)", "(?i:ta)"),
    _rule("(?i:lem|gim)", "(?i:me)"),
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
    _rule(f"(?:[lLdDjJ]|(?i:Dunkin|somethin|ol)){APOSTROPHE}"),
    _rule(f"{APOSTROPHE}(?:(?i:em|till?|cause)|[2-9](?i:0s))"),
    _rule(f"[A-HJ-XZn]{ANY_APOSTROPHE}{PLAIN_LETTER}{{2,}}"),
    _rule(f"{PLAIN_LETTER}+[aeiouyAEIOUY]{ANY_APOSTROPHE}[aeiouA-Z]{PLAIN_LETTER}*"),
    _rule(r"(?i:cont'd\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l)"),
    _rule(f"[oO]{ANY_APOSTROPHE}[oO]"),
    _rule(f"[yY]{APOSTROPHE}", PLAIN_LETTER),
    # Addresses.
    _rule(rf"(?i:https?)://[^ \t\n\f\r\"<>|(){{}}]+{URL_END}"),
    _rule(
        rf"(?i:www)\.(?:[^ \t\n\f\r\"<>|.!?(){{}},]+\.)+[a-zA-Z]{{2,4}}(?:/[^ \t\n\f\r\"<>|()]+{URL_END})?"
    ),
    _rule(
        rf"(?:[^ \t\n\f\r\"`'<>|.!?(){{}},-_$]+\.)+(?i:com|net|org|edu)(?:/[^ \t\n\f\r\"<>|()]+{URL_END})?"
    ),
    _rule(
        r"(?:<|&(?i:lt);)?[a-zA-Z0-9][^ \t\n\f\r\"<>|(){}\xa0]*@(?:[^ \t\n\f\r\"<>|(){}.\xa0]+\.)*"
        r"[^ \t\n\f\r\"<>|(){}.\xa0]+(?:>|&(?i:gt);)?"
    ),
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
    _rule(rf"{ALNUM}+(?:\.{ALNUM}+)*\.(?i:{FILE_ENDINGS})", f"(?:{BLANK}|[.,?!])"),
    _rule(rf"{WORD}\.", "[,;:\u3001]", _without_soft_hyphens),
    # Telephones.
    _rule(r"\([0-9]{2,3}\)[ \xa0]?[0-9]{3,4}[- \xa0]?[0-9]{3,5}", write=_phone),
    _rule(r"(?:\+\+?)?[0-9]{2,4}[- \xa0][0-9]{2,4}[- \xa0][0-9]{3,4}[- \xa0]?[0-9]{3,5}", write=_phone),
    _rule(r"(?:\+\+?)?[0-9]{2,4}[- \xa0][0-9]{3,4}[- \xa0]?[0-9]{3,5}", write=_phone),
    _rule(r"(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}", write=_phone),
    # Signs.
    _rule('"|&(?i:quot);', "[A-Za-z0-9$]", _opening_quote),
    _rule('"|&(?i:quot);', write=_closing_quote),
    _rule("<|&(?i:lt);", write=_constant("<")),
    _rule(">|&(?i:gt);", write=_constant(">")),
    _rule(EYES_AND_MOUTH, "[^A-Za-z0-9]", _brackets),
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
