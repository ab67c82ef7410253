"""Errors in one line each, and the exit code that they give: bad input, faults of disks and of memory."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONGEST = 2000  # letters of a message, which may repeat a name as long as a file


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
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}...{text[-LONGEST // 2 :]}"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


@contextmanager
def expecting(what: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of some kinds, without any named of all, into one line that says what was expected.

    Raises:
        InputError: ``what``, and the error's text as what was received; one from inside stays unless named,
            and where it tells of the same place.
    """
    caught = kinds or (Exception,)
    try:
        yield
    except caught as error:
        place = what.partition(": ")[0]
        is_told = InputError not in kinds or str(error).startswith(f"{place}: ")
        if isinstance(error, InputError) and is_told:
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:300]
        raise InputError(f"{what}, received: {reason or type(error).__name__}") from None


DISK_FAULTS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG),
    *(errno.EMFILE, errno.ENFILE),
)
MEMORY_SIGNS = ("can't allocate memory", "out of memory")  # what torch says


def exit_code(work: Callable[[], object]) -> int:
    """Do some work; what goes wrong with input, disks or memory becomes a line on stderr.

    Returns:
        What the work returns, 0 for None; 2 after such a line; 130 after Ctrl-C.
    """
    try:
        result = work()
        return result if isinstance(result, int) else 0
    except InputError as error:
        line = str(error)
    except OSError as error:
        line = disk_fault(error)
    except (MemoryError, RuntimeError) as error:
        line = memory_fault(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(line, file=sys.stderr)
    return 2


def disk_fault(error: OSError) -> str:
    """Return one line about what a disk or a folder refuses.

    Raises:
        OSError: the error itself, when it is none of these and so a fault of the code.
    """
    if error.errno not in DISK_FAULTS:
        raise error
    return f"{error.filename or 'disk'}: expected to read or write it, received: {error.strerror}"


def memory_fault(error: Exception) -> str:
    """Return one line about memory that is not there, on the processor or a GPU.

    Raises:
        Exception: the error itself, when it is of another kind and so a fault of the code.
    """
    text = " ".join(str(error).split())
    if not isinstance(error, MemoryError) and not any(sign in text.lower() for sign in MEMORY_SIGNS):
        raise error
    return f"memory: expected enough for the settings and the data, received: {text or 'no more'}"
