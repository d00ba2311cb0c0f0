"""The one base of every error that a user can mend, and how texts of others are said."""

import unicodedata


class UserError(ValueError):
    """An input or a choice cannot be used. The message names the place, what was found and what to do."""


def printable(text: str) -> str:
    """A text, with what would steer a terminal written out: it may come from a file of somebody else's."""
    return "".join(
        c if c in "\t\n" or unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp") else ascii(c)[1:-1] for c in text
    )
