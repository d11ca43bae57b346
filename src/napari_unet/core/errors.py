"""The one kind of error that is the person's to mend."""


class InputError(ValueError):
    """What was given cannot be used.

    The message is one sentence for the person: what is wrong, where, and what to do. The
    command line prints it and exits with code 2; a dock shows it. No traceback either way.
    """
