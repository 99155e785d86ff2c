"""First words of refusals: published ones for model families, usual ones for other languages."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Family:
    """A model family with its published vocabularies and the openings of its English refusals."""

    model_type: str
    """`config.model_type` of the text model."""
    vocabulary: frozenset[int]
    """Published vocabulary sizes; a model of the same architecture with another vocabulary belongs to
    another family."""
    openings: tuple[str, ...]


FAMILIES = (
    Family(model_type="gemma", vocabulary=frozenset((256_000,)), openings=("I",)),
    Family(model_type="gemma2", vocabulary=frozenset((256_000,)), openings=("I",)),
    Family(model_type="gemma3_text", vocabulary=frozenset((262_144, 262_208)), openings=("I",)),
    # Llama-2, Yi and Llama-3.
    Family(model_type="llama", vocabulary=frozenset((32_000, 64_000, 128_256)), openings=("I",)),
    Family(model_type="qwen", vocabulary=frozenset((151_936, 152_064)), openings=("I", "As")),
    Family(model_type="qwen2", vocabulary=frozenset((151_936, 152_064)), openings=("I", "As")),
)
"""Families and openings of 2406.11717 (table 4) for Gemma, Llama-2, Llama-3, Qwen and Yi; Gemma-2,
Gemma-3 and Qwen-2 to 2.5 take those of the previous generation. Left out, so that their tokens are
found in the model's own refusals: Mistral and Phi-3, for which none are published, and Qwen-3, whose
answers begin with thoughts unless a template option disables them."""

OPENINGS: Mapping[str, tuple[str, ...]] = {
    "ar": ("لا", "عذرًا", "عذراً", "آسف", "أنا", "أعتذر"),
    "de": ("Ich", "Es tut", "Leider", "Entschuldigung", "Tut mir"),
    "es": ("Lo siento", "No", "Lamento", "Disculpa"),
    "fr": ("Je", "Désolé", "Pardon"),
    "it": ("Mi dispiace", "Non", "Spiacente"),
    "ja": ("申し訳", "すみません", "ごめん", "私"),
    "ko": ("죄송", "미안", "저는"),
    "nl": ("Ik", "Het spijt", "Sorry", "Helaas"),
    "pl": ("Przepraszam", "Nie", "Przykro"),
    "ru": ("Я", "Извините", "К сожалению", "Простите"),  # noqa: RUF001
    "th": ("ขอโทษ", "ขออภัย", "ฉัน", "ผม"),
    "yo": ("Mo", "Mi ò", "Má binu", "Ma binu", "Emi"),
    "zh": ("我", "抱歉", "对不起", "很抱歉"),
}
"""Usual openings (unpublished) by language, for PolyRefuse (2505.17306) without English; openings found
in the model's own refusals take precedence."""

ENGLISH = "en"


_NAMES = {
    "ar": ("ara", "arabic"),
    "de": ("deu", "german"),
    "en": ("eng", "english"),
    "es": ("spa", "spanish"),
    "fr": ("fra", "french"),
    "it": ("ita", "italian"),
    "ja": ("jpn", "japanese"),
    "ko": ("kor", "korean"),
    "nl": ("nld", "dutch"),
    "pl": ("pol", "polish"),
    "ru": ("rus", "russian"),
    "th": ("tha", "thai"),
    "yo": ("yor", "yoruba"),
    "zh": ("zho", "cmn", "chinese"),
}
"""Two-letter codes of languages that data sets name by three letters or in English."""


def language_code(language: str) -> str:
    """The tables' code of a prompt's language; "" means English, "zh-CN" gives "zh"."""
    name = language.strip().casefold().replace("_", "-").partition("-")[0]
    codes = (code for code, names in _NAMES.items() if name in names)
    return next(codes, name) or ENGLISH


def family_of(model_type: str, vocab_size: int) -> Family | None:
    """The family of a model; None if no family has this architecture and vocabulary size."""
    for family in FAMILIES:
        if family.model_type == model_type and vocab_size in family.vocabulary:
            return family
    return None
