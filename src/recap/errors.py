"""The one error that users cause: bad input, told in one line."""


class InputError(Exception):
    """What a user gave cannot be used.

    The message is one line and says where it was found, what was expected and what was received.
    Stages and the command line print it without a traceback and leave with exit code 2.
    """
