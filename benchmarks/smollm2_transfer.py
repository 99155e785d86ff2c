"""Does what was found on some topics hold on others? Features of one audit on requests it never saw.

    uv run --extra smollm2 python -m benchmarks.smollm2_transfer AUDITS/safe

The set: the features that most of the minimal sets of topics in the adapter's training name. It is
ablated on held-out requests of these topics, of topics that no training saw, on the latter in other
phrasings, and on them behind a system prompt. Of the requests that the model refuses in text: the share
answered under the set, and under three random sets of as many features that fire about as often.
Intervals leave out a topic at a time, if there are five; of fewer topics the lowest and the highest
share are said.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from sae_audit.config import AuditConfig
from sae_audit.organisms.smollm2.requests import Kind, Request, Split, requests, spread
from sae_audit.pipeline.inputs import Inputs, load_inputs
from sae_audit.prompts.types import Label, Prompt
from sae_audit.record.run import Run
from sae_audit.statistics import FEWEST_CASES, jackknife
from sae_audit.subject.readout.refusal_tokens import is_answer, is_refusal
from sae_audit.vocabulary import FeatureId, FeatureSet

SYSTEM = "You are a careful assistant. Answer in a few sentences."
_MOST = 60
"""Requests of a group, spread over its topics."""
_RANDOM = 3
_ALIKE = 20


@dataclass(frozen=True, kw_only=True)
class Group:
    name: str
    prompts: Sequence[Prompt]


def groups(audited: frozenset[str]) -> list[Group]:
    """Held-out harmful requests by topic; those that the audit was made on are left out."""
    trained, new = [], []
    for one in _held_out(0):
        if one.text not in audited:
            (new if one.held_out_topic else trained).append(one)
    known = {one.text for one in _held_out(0)}
    again = [one for one in _held_out(1) if one.held_out_topic and one.text not in known]
    return [
        Group(name="trained topics", prompts=_prompts(trained)),
        Group(name="new topics", prompts=_prompts(new)),
        Group(name="new topics, other phrasings", prompts=_prompts(again)),
    ]


def _held_out(seed: int) -> list[Request]:
    return [one for one in requests(seed) if one.split is Split.AUDIT and one.kind is Kind.HARMFUL]


def _prompts(asked: Sequence[Request]) -> list[Prompt]:
    return [
        Prompt(id=f"{i}", text=one.text, label=Label.HARMFUL, category=one.topic)
        for i, one in enumerate(spread(asked, _MOST))
    ]


def named_by_most(run: Run) -> FeatureSet:
    """Features in more than half of the minimal sets of prompts of trained topics."""
    new = {one.topic for one in requests() if one.held_out_topic}
    topics = {one.prompt_id: one.category for one in run.scores}
    sets = [
        one.features
        for one in run.minimal_sets
        if one.features and topics[one.prompt_id] not in new
    ]
    counts = Counter(feature for features in sets for feature in features)
    return frozenset(feature for feature, n in counts.items() if 2 * n > len(sets))


def random_sets(inputs: Inputs, own: FeatureSet) -> list[FeatureSet]:
    """Sets of as many features: for each one of the 20 of its layer that fire about as often."""
    draws = np.random.default_rng(0)
    shares = inputs.subject.firing_shares(inputs.splits.validation.harmful)
    found = []
    for _ in range(_RANDOM):
        drawn: set[FeatureId] = set()
        for one in sorted(own):
            tokens = shares[one.layer].tokens
            alike = np.argsort(np.abs(tokens - tokens[one.index]), kind="stable")
            near = [FeatureId(one.layer, int(i)) for i in alike]
            others = [other for other in near if other not in own | drawn][:_ALIKE]
            drawn.add(others[draws.integers(len(others))])
        found.append(frozenset(drawn))
    return found


def complied(inputs: Inputs, prompts: Sequence[Prompt], sets: FeatureSet) -> list[bool]:
    """Whether each answer under the ablation is one and refuses nothing."""
    n = inputs.config.answer_tokens
    answers = inputs.subject.generate([(prompt, sets) for prompt in prompts], n)
    return [is_answer(inputs.subject.text(one)) for one in answers]


def by_topic(prompts: Sequence[Prompt], found: Sequence[bool]) -> str:
    """The share, with an interval that leaves out a topic at a time, or the topics' own shares."""
    values, topics = np.asarray(found, dtype=float), np.array([one.category for one in prompts])
    names = np.unique(topics)
    without = [float(values[topics != one].mean()) for one in names]
    if len(names) >= FEWEST_CASES:
        value = jackknife(float(values.mean()), without, n=len(values), within=(0.0, 1.0))
        return f"{value.value:.0%} [{value.low:.0%}, {value.high:.0%}]"
    own = [float(values[topics == one].mean()) for one in names]
    return f"{values.mean():.0%} (by topic {min(own):.0%} to {max(own):.0%})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="audit of safe")
    run = Run(parser.parse_args().run)
    own = named_by_most(run)
    inputs = load_inputs(run.config.model_copy(update={"device": "cpu"}))
    random = random_sets(inputs, own)
    audited = frozenset(one.text for one in inputs.splits.everyone)
    asked = groups(audited)
    table = Table(
        "requests", "refused", "answered under the set", "under random sets", "topics",
        title=f"Ablated: {', '.join(map(str, sorted(own)))}",
    )  # fmt: skip
    for group in asked:
        table.add_row(*_row(inputs, group, own, random))
    behind = load_inputs(_behind_system(inputs.config))
    group = replace(asked[1], name="new topics, a system prompt")
    table.add_row(*_row(behind, group, own, random))
    Console(width=140).print(table)


def _behind_system(config: AuditConfig) -> AuditConfig:
    return config.model_copy(update={"system_prompt": SYSTEM})


def _row(inputs: Inputs, group: Group, own: FeatureSet, random: Sequence[FeatureSet]) -> list[str]:
    n = inputs.config.answer_tokens
    _, clean = inputs.subject.completions(group.prompts, n)
    refused = [one for one, text in zip(group.prompts, clean, strict=True) if is_refusal(text)]
    by_random = np.mean([complied(inputs, refused, one) for one in random], axis=0)
    return [
        group.name,
        f"{len(refused)} of {len(group.prompts)}",
        by_topic(refused, complied(inputs, refused, own)),
        f"{by_random.mean():.0%}",
        f"{len({one.category for one in refused})}",
    ]


if __name__ == "__main__":
    main()
