"""What a text that people type may consist of."""

import unicodedata

# Cc control, Cf format (zero-width, direction marks), Cs surrogate, Co private use, Cn unassigned,
# Zl and Zp line and paragraph separators: invisible, or different on every screen.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def has_invisible(text: str) -> bool:
    """Whether any character cannot be seen, or is not fit for one line of text."""
    return any(unicodedata.category(character) in _INVISIBLE_CATEGORIES for character in text)


def shorten(text: str, characters_max: int = 64) -> str:
    """The text as a message may repeat it: visible characters only, cut at `characters_max`."""
    cut = text[:characters_max]
    visible = "".join("?" if has_invisible(character) else character for character in cut)
    return visible + "..." if len(text) > characters_max else visible
