"""Tells a lightly edited copy from another sample of the same template.

Edits are small and scattered, and make text that stands nowhere else ("Zemlnd"); a template's slots
are filled with what stands in other samples too ("Zemland", then "Druland").
"""

from difflib import SequenceMatcher

from sluice.similarity.boilerplate import Boilerplate
from sluice.similarity.text_forms import encode

# The longest change that is still an edit, in characters, and all changes together as a share.
_MAX_CHANGE = 3
_MAX_CHANGED_SHARE = 0.08
# A change is new text where less than this share of the runs across it stands in other samples.
_MAX_KNOWN_SHARE = 0.5


def is_light_edit(text: str, original: str, *, boilerplate: Boilerplate) -> bool:
    """Whether a compact text is another one with a few characters changed.

    Args:
        text: of a sample that ``boilerplate`` has counted.
        original: what it may be a copy of.
        boilerplate: says which runs of characters other samples have.
    """
    if text == original:
        return True
    matcher = SequenceMatcher(None, text, original, autojunk=False)
    changes = [change for change in matcher.get_opcodes() if change[0] != "equal"]
    sizes = [max(end - start, stop - begin) for _, start, end, begin, stop in changes]
    if max(sizes) > _MAX_CHANGE or sum(sizes) > _MAX_CHANGED_SHARE * len(original):
        return False
    places = encode(list(text)).starts
    codes = encode([text])
    return all(
        boilerplate.known_share(codes, int(places[start]), int(places[end])) < _MAX_KNOWN_SHARE
        for _, start, end, _, _ in changes
    )
