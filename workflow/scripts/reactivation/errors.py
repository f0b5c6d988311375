"""What a user can mend, said in one line."""


class InputError(Exception):
    """Something the user can mend: one line naming the key or file, what is wrong and what to do."""


def one_line(error: BaseException) -> str:
    """What `error` says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
