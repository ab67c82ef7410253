"""Words that the Penn Treebank tokenizer of Stanford CoreNLP 3.4.1 does not treat by their letters alone.

What it does with each was observed; a test gives every one of them to the original where there is Java. All
are in lower case and match in any case, unless a note says otherwise.
"""

MONTHS = ("apr", "aug", "dec", "feb", "jan", "jul", "jun", "mar", "nov", "oct", "sep", "sept")
DAYS = ("fri", "mon", "thu", "thurs", "tue", "tues", "wed")
STATES = (
    *("ala", "ariz", "calif", "colo", "conn", "ct", "dak", "fla", "ga", "ind", "kan", "kans", "ky", "md"),
    *("mich", "minn", "mo", "mont", "neb", "nev", "okla", "penn", "tenn", "va", "vt", "wis", "wisc", "wyo"),
)
STATES_THAT_ARE_WORDS = ("ark", "az", "del", "ill", "la", "mass", "miss", "ore", "pa", "tex", "wash")
"""Abbreviations of states only with a capital first letter."""
COMPANIES = (
    *("assn", "bancorp", "bhd", "co", "corp", "cos", "inc", "intl", "ltd", "plc", "rt", "sys", "univ"),
)
AFTER_NAMES = ("bros", "ed.d", "esq", "jr", "ph.d", "sr")
PLACES = ("bldg", "blvd", "rd")
CITATIONS = ("al", "est", "etc", "ext", "seq", "sq", "tel")

PEOPLE = (
    *("atty", "attys", "dr", "drs", "hon", "messrs", "mlle", "mme", "mr", "mrs", "ms", "msgr", "prof"),
    *("profs", "alex", "jos", "wm"),
)
OFFICES = (
    *("adj", "adm", "adv", "assoc", "asst", "det", "gov", "govs", "insp", "pres", "rep", "reps", "rev"),
    *("sen", "sens", "supt", "supts", "treas"),
)
RANKS = (
    *("brig", "capt", "cmdr", "col", "comdr", "cpl", "ens", "gen", "lieut", "lt", "maj", "pfc", "pvt"),
    *("sfc", "sgt", "spc"),
)
BEFORE_PLACES = ("ave", "ft", "mt", "st", "ste")
BEFORE_OTHERS = ("cf", "cie", "dept", "elec", "invt", "natl", "ph", "vs")

BEFORE_NUMBERS = ("art", "bldg", "ca", "fig", "figs", "no", "nos", "op", "pp", "prop")
"""Abbreviations where a number follows."""

SENTENCE_STARTS = (
    *("a", "about", "according", "additionally", "after", "an", "as", "at", "but", "earlier", "he", "her"),
    *("here", "however", "if", "in", "it", "last", "many", "more", "mr.", "ms.", "now", "once", "one"),
    *("other", "our", "she", "since", "so", "some", "such", "that", "the", "their", "then", "there", "these"),
    *("they", "this", "we", "what", "when", "while", "yet", "you"),
)
"""With a capital first letter they show that a full stop before them ended a sentence."""

FILE_ENDINGS = (
    *("bat", "bmp", "c", "cgi", "class", "cpp", "dll", "doc", "docx", "exe", "gif", "gz", "h", "htm", "html"),
    *("jar", "java", "jpeg", "jpg", "mov", "mp3", "pdf", "php", "pl", "png", "ppt", "ps", "py", "sql", "tar"),
    *("txt", "wav", "x", "xml", "zip"),
)

SPLIT = (
    *(("can", "not"), ("gim", "me"), ("gon", "na"), ("got", "ta"), ("lem", "me"), ("wan", "na")),
    *(("'t", "is"), ("'t", "was")),
)
"""The halves of words that become two."""

BEFORE_US = ("canada", "eu", "japan", "korean", "non", "sino")
"""What a hyphen joins to "U.S." """

KEPT_TOGETHER = (
    *("-lcb-", "-lrb-", "-lsb-", "-rcb-", "-rrb-", "-rsb-", "anti-", "c.d.s", "pro-", "s&ls", "s&p-500"),
)

WITH_APOSTROPHE = (
    *("c'mon", "cont'd", "cont'd.", "e'er", "ev'ry", "li'l", "nat'l", "nor'easter", "s'mores"),
)
"""One word each, with the straight apostrophe only."""
BEFORE_APOSTROPHE = ("dunkin", "ol", "somethin")
AFTER_APOSTROPHE = ("cause", "em", "til", "till")
