"""What a report does not show, said from what its record holds."""

from sae_audit.record.run import Run


def limits(run: Run) -> list[str]:
    worst = min(run.quality, key=lambda one: one.explained_variance)
    layers = len(run.manifest.saes)
    tokens = ", ".join(f'"{text}"' for text in run.manifest.refusal_tokens.texts)
    found = [
        f"Refusal is read off the first token alone ({tokens}). A flipped score means that the "
        "answer no longer begins as a refusal; no answer was generated under ablation and judged.",
        f"The SAEs see part of the residual stream: at layer {worst.layer} they miss "
        f"{1 - worst.explained_variance:.1%} of its variance on these prompts. A mechanism that "
        "lives in the error term cannot be found by ablating features.",
        f"{layers} of {run.manifest.model.n_layers} layers were audited; candidates are the "
        f"{run.candidates.per_layer} features of each nearest one direction. Features that act "
        "without pointing along it are not among them.",
        "A minimal set is one of possibly many. Its certificate says that none of its features can "
        "be spared, not that no other or smaller set exists.",
        "When refusal is removed, recognition of harm may survive (2603.27412); this audit measures "
        "the first and not the second.",
    ]
    if run.manifest.refusal_tokens.source == "found":
        found.append(
            "The refusal tokens were found in the model's own refusals, by words; a refusal in "
            "other words was not counted."
        )
    return found
