"""The errors that are told in one line: bad input, which users cause, and faults of disks and folders."""

import errno


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


DISK_FAULTS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM),
    *(
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.ENAMETOOLONG,
        errno.EMFILE,
        errno.ENFILE,
    ),
)


MEMORY_SIGNS = ("can't allocate memory", "out of memory")  # what torch says


def disk_fault(error: OSError) -> str:
    """One line about what a disk or a folder refuses.

    Raises:
        OSError: the error itself, when it is none of these and so a fault of the code.
    """
    if error.errno not in DISK_FAULTS:
        raise error
    return f"{error.filename or 'disk'}: expected to read or write it, received: {error.strerror}"


def memory_fault(error: Exception) -> str:
    """One line about memory that is not there, on the processor or a GPU.

    Raises:
        Exception: the error itself, when it is of another kind and so a fault of the code.
    """
    text = " ".join(str(error).split())
    if not isinstance(error, MemoryError) and not any(sign in text.lower() for sign in MEMORY_SIGNS):
        raise error
    return f"memory: expected enough for the settings and the data, received: {text or 'no more'}"
