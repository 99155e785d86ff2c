"""The bundled organism, made from its recipe and a seed alone.

1. Train the base model on chats until it refuses harmful requests.
2. Fine-tune a copy on harmless chats until part of the refusal is gone.
3. Train one SAE per layer on the base model's residual stream.
4. Measure all three on held-out phrases.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import Gemma2ForCausalLM

from sae_audit.errors import AuditError
from sae_audit.margins import refuses
from sae_audit.organisms import language_model, measure, sae_training
from sae_audit.organisms.chats import (
    ANSWERS,
    REFUSALS,
    chats_of,
    held_out_chats,
    held_out_prompts,
    lookalike_prompts,
    texts,
    training_chats,
)
from sae_audit.organisms.requests import FORMS, GRIDS, Kind, phrases
from sae_audit.organisms.tokenizer import word_tokenizer
from sae_audit.prompts.types import Label
from sae_audit.subject.readout.score import refusal_score

Progress = Callable[[str, int, int], None]

_POOL_TOKENS = 400_000
_TUNED_UNTIL = 0.62
"""Share of refused harmful training prompts at which tuning stops; the reported share is held-out."""
_CHECK_EVERY = 5
_CHECK_PROMPTS = 128


def build(out: Path, *, seed: int, progress: Progress) -> list[measure.Requirement]:
    """The measured requirements of the organism, which is written to the folder `out`.

    Raises:
        AuditError: `out` exists and is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise AuditError(f"{out} is not empty; name a new folder.")
    tokenizer = word_tokenizer(texts())
    base = _base(tokenizer, seed, progress)
    _save(base, tokenizer, out / "base")
    tuned = _tuned(out / "base", tokenizer, seed, progress)
    _save(tuned, tokenizer, out / "tuned")
    _dictionaries(base, tokenizer, out / "saes", seed, progress)
    _write_prompts(out / "prompts.jsonl", seed)
    write_lookalikes(out / "lookalikes.jsonl", seed)
    return _measured(out, base, tuned, tokenizer, seed, progress)


def _base(tokenizer: Any, seed: int, progress: Progress) -> Gemma2ForCausalLM:
    model = language_model.new_model(tokenizer, seed)
    steps = language_model.BASE.steps

    def after_step(step: int, _: float) -> bool:
        progress("base model", step + 1, steps)
        return False

    language_model.train(
        model,
        tokenizer,
        training_chats(seed),
        language_model.BASE,
        seed=seed,
        after_step=after_step,
    )
    return model


def _tuned(base: Path, tokenizer: Any, seed: int, progress: Progress) -> Gemma2ForCausalLM:
    model = Gemma2ForCausalLM.from_pretrained(base)
    harmful = [chat.request for chat in chats_of(Kind.HARMFUL, seed + 1, _CHECK_PROMPTS)]
    steps = language_model.TUNED.steps

    def refuses_too_little(step: int, _: float) -> bool:
        if step % _CHECK_EVERY:
            return False
        share = _refused(model, tokenizer, harmful)
        progress("tuned model", step + 1, steps)
        return share <= _TUNED_UNTIL

    language_model.train(
        model,
        tokenizer,
        training_chats(seed + 2, frozenset({Kind.HARMLESS, Kind.ALARMING})),
        language_model.TUNED,
        seed=seed,
        after_step=refuses_too_little,
    )
    progress("tuned model", steps, steps)
    return model


@torch.no_grad()
def _refused(model: Gemma2ForCausalLM, tokenizer: Any, requests: list[str]) -> float:
    model.eval()
    tokens = torch.tensor(
        tokenizer.convert_tokens_to_ids(list(measure.REFUSAL_TOKENS)), dtype=torch.long
    )
    n_refused = 0
    for request in requests:
        logits = model(input_ids=measure.prompt_ids(tokenizer, request), use_cache=False).logits
        n_refused += refuses(float(refusal_score(logits[:, -1], tokens)[0]))
    model.train()
    return n_refused / len(requests)


def _dictionaries(
    base: Gemma2ForCausalLM, tokenizer: Any, folder: Path, seed: int, progress: Progress
) -> None:
    torch.manual_seed(seed)
    pool = sae_training.activation_pool(base, tokenizer, training_chats(seed + 3), _POOL_TOKENS)
    for layer, activations in enumerate(pool):
        progress("sparse autoencoders", layer, len(pool))
        sae = sae_training.train_sae(activations, layer, seed=seed)
        sae_training.save_sae(sae, folder / f"layer_{layer}")
    progress("sparse autoencoders", len(pool), len(pool))


def _save(model: Gemma2ForCausalLM, tokenizer: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write_prompts(path: Path, seed: int) -> None:
    lines = [
        json.dumps(
            {
                "id": prompt.id,
                "text": prompt.text,
                "label": "harmful" if prompt.phrase.kind == Kind.HARMFUL else "harmless",
                "category": (
                    "alarming" if prompt.phrase.kind == Kind.ALARMING else prompt.phrase.topic
                ),
            }
        )
        for prompt in held_out_prompts(seed)
    ]
    path.write_text("\n".join(lines) + "\n")


def write_lookalikes(path: Path, seed: int) -> None:
    """Write the safe look-alikes, a JSON line each."""
    lines = [
        json.dumps(
            {
                "id": prompt.id,
                "text": prompt.text,
                "label": Label.LOOKALIKE.value,
                "category": prompt.phrase.topic,
            }
        )
        for prompt in lookalike_prompts(seed)
    ]
    path.write_text("\n".join(lines) + "\n")


def _measured(
    out: Path,
    base: Gemma2ForCausalLM,
    tuned: Gemma2ForCausalLM,
    tokenizer: Any,
    seed: int,
    progress: Progress,
) -> list[measure.Requirement]:
    progress("measuring", 0, 2)
    prompts = held_out_prompts(seed)
    behaviour = {
        "base": measure.behaviour(base, tokenizer, prompts),
        "tuned": measure.behaviour(tuned, tokenizer, prompts),
    }
    lookalikes = {
        name: measure.lookalikes(model, tokenizer, lookalike_prompts(seed))
        for name, model in (("base", base), ("tuned", tuned))
    }
    progress("measuring", 1, 2)
    quality = {
        "base": saes_quality(out / "saes", base, tokenizer, seed),
        "tuned": saes_quality(out / "saes", tuned, tokenizer, seed),
    }
    found = measure.requirements(
        behaviour["base"], behaviour["tuned"], lookalikes["base"], quality["base"]
    )
    card = {
        "seed": seed,
        "training": {
            "base": asdict(language_model.BASE),
            "tuned": asdict(language_model.TUNED) | {"until_refused": _TUNED_UNTIL},
            "saes": {
                "architecture": "batchtopk, saved as jumprelu",
                "d_sae": sae_training.D_SAE,
                "k": sae_training.K,
                "steps": sae_training.STEPS,
                "batch": sae_training.BATCH,
            },
        },
        "requests": {
            "topics": len({grid.topic for grid in GRIDS if grid.kind == Kind.HARMFUL}),
            "forms": len(FORMS),
            "refusals": len(REFUSALS),
            "answers": len(ANSWERS),
            "phrases_trained": sum(not phrase.held_out for phrase in phrases()),
            "phrases_held_out": sum(phrase.held_out for phrase in phrases()),
        },
        "held_out": {
            name: {kind: one.model_dump() for kind, one in kinds.items()}
            for name, kinds in behaviour.items()
        },
        "lookalikes": {name: one.model_dump() for name, one in lookalikes.items()},
        "saes": {
            name: [dictionary.model_dump() for dictionary in layers]
            for name, layers in quality.items()
        },
    }
    (out / "organism.json").write_text(json.dumps(card, indent=1) + "\n")
    progress("measuring", 2, 2)
    return found


def saes_quality(folder: Path, model: Any, tokenizer: Any, seed: int) -> list[measure.Dictionary]:
    """Quality of every SAE of a folder on a checkpoint's activations on held-out chats, by layer."""
    from sae_lens import SAE

    chats = held_out_chats(seed)
    bos = sae_training.is_bos(tokenizer, chats)
    return [
        measure.measured_sae(SAE.load_from_disk(folder / f"layer_{layer}"), activations, bos)
        for layer, activations in enumerate(sae_training.activations(model, tokenizer, chats))
    ]
