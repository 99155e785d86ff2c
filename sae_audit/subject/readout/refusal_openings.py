"""How refusals begin: published for the families, usual for other languages."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Family:
    """One published vocabulary, and what English refusals in it begin with."""

    model_type: str
    """`config.model_type` of the text model."""
    vocabulary: frozenset[int]
    """Vocabulary sizes it was published with: the openings are trusted with no other, for a model
    of the same architecture with its own vocabulary is another family."""
    openings: tuple[str, ...]


FAMILIES = (
    Family(model_type="gemma", vocabulary=frozenset((256_000,)), openings=("I",)),
    Family(model_type="gemma2", vocabulary=frozenset((256_000,)), openings=("I",)),
    Family(model_type="gemma3_text", vocabulary=frozenset((262_144, 262_208)), openings=("I",)),
    # Llama-2, Yi and Llama-3: one architecture, three vocabularies.
    Family(model_type="llama", vocabulary=frozenset((32_000, 64_000, 128_256)), openings=("I",)),
    Family(model_type="qwen", vocabulary=frozenset((151_936, 152_064)), openings=("I", "As")),
    Family(model_type="qwen2", vocabulary=frozenset((151_936, 152_064)), openings=("I", "As")),
)
"""After 2406.11717 (table 4), which names them for Gemma, Llama-2, Llama-3, Qwen and Yi; Gemma-2,
Gemma-3 and Qwen-2 to 2.5 have those of the generation before. Not here, so that their tokens are
found in the model's own refusals: Mistral and Phi-3, for which none are published, and Qwen-3, whose
answers begin with its thoughts unless the template is told otherwise."""

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
"""The languages of PolyRefuse (2505.17306) besides English. Usual openings, not published; where the
model's own refusals show others, those are used."""

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
"""Data sets name languages by two letters, by three, or in English."""


def language_code(language: str) -> str:
    """A prompt's language as the tables name it; none stated is English ("zh-CN" is "zh")."""
    name = language.strip().casefold().replace("_", "-").partition("-")[0]
    codes = (code for code, names in _NAMES.items() if name in names)
    return next(codes, name) or ENGLISH


def family_of(model_type: str, vocab_size: int) -> Family | None:
    """The family of a model, None where none of this architecture has such a vocabulary."""
    for family in FAMILIES:
        if family.model_type == model_type and vocab_size in family.vocabulary:
            return family
    return None
