"""The phrasings, and a phrase put in one."""

from sae_audit.organisms.smollm2.requests.data_files import table
from sae_audit.organisms.smollm2.requests.drawing import number
from sae_audit.organisms.smollm2.requests.types import Form, Phrase, Request


def phrasings(form: Form) -> tuple[str, ...]:
    """The phrasings that phrases of a form can take, whatever their kind."""
    return tuple(table("phrasings")[form.value])


def dealt(phrase: Phrase, seed: int) -> Request:
    """The phrase in the phrasing that its text and the seed decide."""
    among = phrasings(phrase.form)
    return phrased(phrase, among[number("phrasing", seed, phrase.text) % len(among)])


def phrased(phrase: Phrase, phrasing: str) -> Request:
    before, after = phrasing.split("{}")
    begins_sentence = not before or before.rstrip().endswith((".", "!", "?"))
    text = phrase.text[0].upper() + phrase.text[1:] if begins_sentence else phrase.text
    return Request(text=f"{before}{text}{after}", phrasing=phrasing, phrase=phrase)
