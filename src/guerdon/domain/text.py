"""What a text that people type may consist of."""

import re
import unicodedata
from typing import Final

# Cc control, Cf format (zero-width, direction marks), Cs surrogate, Co private use, Cn unassigned,
# Zl and Zp line and paragraph separators: invisible, or different on every screen.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_LOCALE_FORM: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_LOCALE_CHARACTERS_MAX: Final = 35


def is_locale(text: str) -> bool:
    """Whether the text has the form of a BCP 47 tag, such as ar or pt-BR."""
    return len(text) <= _LOCALE_CHARACTERS_MAX and _LOCALE_FORM.fullmatch(text) is not None


def has_invisible(text: str) -> bool:
    """Whether any character cannot be seen, or is not fit for one line of text."""
    return any(unicodedata.category(character) in _INVISIBLE_CATEGORIES for character in text)


def shorten(text: str, characters_max: int = 64) -> str:
    """The text as a message may repeat it: visible characters only, cut at `characters_max`."""
    cut = text[:characters_max]
    visible = "".join("?" if has_invisible(character) else character for character in cut)
    return visible + "..." if len(text) > characters_max else visible
