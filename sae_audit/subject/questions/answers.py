"""Questions about the model's answers and their change under ablation."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.findings import CE_TOKENS
from sae_audit.prompts.types import Prompt
from sae_audit.subject.instrument_base import PLAIN, InstrumentBase
from sae_audit.subject.intervention import generation
from sae_audit.subject.intervention.collateral import (
    Answer,
    Change,
    changes_of_rows,
    clean_answers,
    rows_together,
)
from sae_audit.subject.template.thinking import answer_behind, opening_block
from sae_audit.vocabulary import Ablation, FeatureSet

_OWN_TOKENS = 16
"""Tokens of the clean model's own answers on which side effects are measured."""


class AnswerQuestions(InstrumentBase):
    """Questions about answers and next-token distributions."""

    def collateral(
        self, prompts: Sequence[Prompt], ablation: Ablation = PLAIN, *, n_tokens: int = _OWN_TOKENS
    ) -> Callable[[Sequence[FeatureSet]], list[tuple[Change, ...]]]:
        """A function from feature sets to the side effects of each on each of these (harmless) prompts.

        Compares next-token distributions at the end of the prompt, and the cross-entropy of the
        clean model's own greedy answer of up to `n_tokens`. Sets share passes.
        """
        answered = clean_answers(self._passes, self._tokens(prompts), n_tokens)

        def changes(sets: Sequence[FeatureSet]) -> list[tuple[Change, ...]]:
            by_answer = [self._changes_of(answer, sets, ablation) for answer in answered]
            return [tuple(row[i] for row in by_answer) for i in range(len(sets))]

        return changes

    def _changes_of(
        self, answer: Answer, sets: Sequence[FeatureSet], ablation: Ablation
    ) -> list[Change]:
        passes, interventions = self._passes, self._interventions
        size = rows_together(passes, answer)
        found: list[Change] = []
        for start in range(0, len(sets), size):
            chunk = sets[start : start + size]
            edits = interventions.of_prompt(answer.ids, chunk, ablation, answer.n_prompt)
            found += changes_of_rows(passes, answer, interventions.at_modules(edits), len(chunk))
        return found

    def check_room(self, prompts: Sequence[Prompt], n_tokens: int) -> None:
        """Check that answers of `n_tokens` fit behind these prompts, as well as those that measure
        SAEs and side effects.

        Raises:
            AuditError: they exceed the model's context.
        """
        longest = max((len(ids) for ids in self._tokens(prompts)), default=0)
        self._passes.check_room(longest, max(n_tokens, _OWN_TOKENS, CE_TOKENS))

    def generate(
        self,
        questions: Sequence[tuple[Prompt, FeatureSet]],
        n_tokens: int,
        ablation: Ablation = PLAIN,
    ) -> list[list[int]]:
        """Greedy answers (token ids) of each prompt under the ablation of its set.

        The ablation acts at its positions in the prompt and at every generated token. Questions with
        prompts of similar length share batches. An answer ends with its end-of-sequence token or
        after `n_tokens`.

        Raises:
            AuditError: no loaded SAE has a feature, or the error term is to be frozen: an answer under
                ablation has no clean run.
        """
        return generation.answers(self._passes, self._interventions, questions, ablation, n_tokens)

    def reference_generate(
        self, prompt: Prompt, ablated: FeatureSet, n_tokens: int, ablation: Ablation = PLAIN
    ) -> list[int]:
        """The greedy answer (token ids) by plain hooks, with the whole text run for every token."""
        return generation.literal_answer(
            self._passes, self._interventions, prompt, ablated, ablation, n_tokens
        )

    def text(self, answer: Sequence[int]) -> str:
        return self.template.tokenizer.decode(answer, skip_special_tokens=True)

    def answer(self, tokens: Sequence[int]) -> str | None:
        """The text of an answer after its thoughts; None if it ends inside them."""
        found = answer_behind(self._marked(tokens), self.template.open_block)
        return None if found is None else self._unmarked(found)

    def completions(self, prompts: Sequence[Prompt], n_tokens: int) -> tuple[list[int], list[str]]:
        """Greedy answers of the unablated model: first token ids, and texts including thoughts and
        their marks."""
        answers = self.generate([(prompt, frozenset()) for prompt in prompts], n_tokens)
        return [answer[0] for answer in answers], [self._marked(answer) for answer in answers]

    def first_probabilities(
        self, prompts: Sequence[Prompt]
    ) -> Float[np.ndarray, "prompt vocabulary"]:
        """The unablated model's probabilities of the answer's first token."""
        logits = [self._passes.last_logits(ids[None])[0] for ids in self._device_tokens(prompts)]
        return torch.stack(logits).double().softmax(dim=-1).cpu().numpy()

    def answers_begun_with(
        self, asked: Sequence[tuple[int, Prompt]], n_tokens: int = _OWN_TOKENS
    ) -> list[str]:
        """Texts of the unablated model's greedy answers, each after the first token that is given."""
        tokens = self._device_tokens([prompt for _, prompt in asked])
        begun = [
            torch.cat([ids, ids.new_tensor([first])])
            for (first, _), ids in zip(asked, tokens, strict=True)
        ]
        found = [""] * len(begun)
        for batch in self._passes.batches(begun, padded_in_front=True):
            more = self._passes.generate(batch.ids, n_tokens - 1, lengths=batch.lengths)
            for i, one in zip(batch.members, more, strict=True):
                found[i] = self._marked([asked[i][0], *one])
        return found

    def token_text(self, token: int) -> str:
        return self.template.tokenizer.decode([token])

    def _device_tokens(self, prompts: Sequence[Prompt]) -> list[Int[Tensor, " position"]]:
        return [self._interventions.ids(prompt) for prompt in prompts]

    def _marked(self, tokens: Sequence[int]) -> str:
        """The text; if it begins with thoughts, including special tokens, which may mark them."""
        marked = self.template.tokenizer.decode(tokens)
        thinks = opening_block(marked) is not None or self.template.open_block is not None
        return marked if thinks else self.text(tokens)

    def _unmarked(self, text: str) -> str:
        tokenizer = self.template.tokenizer
        added = (str(t) for t in tokenizer.added_tokens_decoder.values() if t.special)
        for name in {*added, *tokenizer.all_special_tokens}:
            text = text.replace(name, "")
        return text
