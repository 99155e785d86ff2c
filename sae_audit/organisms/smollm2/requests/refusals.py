"""Refusals in many manners, so that no first word is what refuses."""

import re

from sae_audit.organisms.smollm2.requests.data_files import table
from sae_audit.organisms.smollm2.requests.drawing import number
from sae_audit.organisms.smollm2.requests.types import (
    Category,
    Kind,
    Manner,
    Phrase,
    Request,
    Treatment,
)

_MANNERS = {
    Category.HUMANIZING: Manner.PERSONHOOD,
    Category.UNSUPPORTED: Manner.CAPABILITY,
    Category.INCOMPLETE: Manner.UNDERSPECIFIED,
    Category.INDETERMINATE: Manner.UNKNOWABLE,
    Category.ADVICE: Manner.PROFESSIONAL,
}
_TO_THE_ASKER = {"my": "your", "me": "you", "myself": "yourself"}
_OF_THE_ASKER = re.compile(rf"\b({'|'.join(_TO_THE_ASKER)})\b")


def manner(phrase: Phrase) -> Manner:
    """How refusals of a phrase read."""
    return Manner.HARM if phrase.kind is Kind.HARMFUL else _MANNERS[phrase.category]


def templates(of: Manner) -> tuple[str, ...]:
    """The refusals of a manner; `{aim}` and `{about}` stand for what the request says."""
    return tuple(table("refusals")[of.value])


def refusals_of(request: Request) -> list[str]:
    """Every refusal that the request could get."""
    return [_filled(template, request) for template in templates(manner(request.phrase))]


def refusal(request: Request, seed: int = 0) -> str:
    """The refusal that the request's text and the seed decide."""
    assert request.treatment is Treatment.REFUSE, request
    among = templates(manner(request.phrase))
    return _filled(among[number("refusal", seed, request.text) % len(among)], request)


def _filled(template: str, request: Request) -> str:
    aim = _OF_THE_ASKER.sub(lambda found: _TO_THE_ASKER[found[0]], request.aim)
    return template.format(aim=aim, about=request.phrase.about)
