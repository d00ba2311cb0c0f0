"""The one base of every error that a user can mend."""


class UserError(ValueError):
    """An input or a choice cannot be used. The message names the place, what was found and what to do."""
