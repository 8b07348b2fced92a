"""Why a bundle could not be downloaded, unpacked or installed: a code and a sentence.

Knows no protocol and no process: the unpacking process raises it, its pipe carries it, and the agent raises it again.
"""

import errno
from enum import StrEnum


class PayloadErrorCode(StrEnum):
    """What kind of refusal or failure it is."""

    WRONG_DIGEST = "WrongDigest"
    MISSING_APPSPEC = "MissingAppSpec"
    BAD_APPSPEC = "BadAppSpec"
    UNSAFE_BUNDLE = "UnsafeBundle"
    BROKEN_BUNDLE = "BrokenBundle"
    TOO_LARGE = "TooLarge"
    DISK_FULL = "DiskFull"
    UNAVAILABLE = "Unavailable"
    FILE_EXISTS = "FileExists"
    BAD_FILES = "BadFiles"
    NOT_PERMITTED = "NotPermitted"
    SYSTEM = "System"
    TIMED_OUT = "TimedOut"
    STALLED = "Stalled"
    DIED = "Died"


class PayloadError(Exception):
    """A download or an installation that cannot be done; the message is a sentence for the operator."""

    def __init__(self, code: PayloadErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def of_system(action: str, error: OSError) -> PayloadError:
    """A failed system call as a sentence that names the path."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = PayloadErrorCode.DISK_FULL if full else PayloadErrorCode.SYSTEM
    reason = "the disk is full" if full else (error.strerror or str(error)).lower()
    where = f" {error.filename}" if error.filename is not None else ""
    return PayloadError(code, f"cannot {action}{where}: {reason}")
