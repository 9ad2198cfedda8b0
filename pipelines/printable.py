"""Text of other people (file names, speech, screens) that is safe to show."""


def printable(text: str) -> str:
    """The text without control characters, which in a file name could rewrite a terminal or turn a line around."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
