"""The one error that users cause: bad input, told in one line."""


class InputError(Exception):
    """What a user gave cannot be used.

    The message is one line and says where it was found, what was expected and what was received.
    Stages and the command line print it without a traceback and leave with exit code 2. What cannot be
    printed, such as a line end in a hostile file name, stands in it escaped.

    Args:
        mistakes: one, or several that were found together, which get a line each.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(map(_printable, mistakes)))


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
