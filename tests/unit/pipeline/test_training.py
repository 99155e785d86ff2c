"""Training prompts are read once a session, and paid for once a run."""

import numpy as np

from sae_audit.pipeline.training import Training
from sae_audit.prompts.types import Label, LabelledPrompts, Prompt
from sae_audit.subject import Subject

PROMPTS = LabelledPrompts(
    harmful=tuple(Prompt(id=t, text=t, label=Label.HARMFUL) for t in ("bomb", "steal a car")),
    harmless=tuple(Prompt(id=t, text=t, label=Label.HARMLESS) for t in ("tea", "paint a car")),
)


def test_they_are_read_once_and_whoever_is_first_in_every_run_pays(subject: Subject):
    training, before = Training(subject, PROMPTS), subject.cost
    read = training.features_charged()
    paid = subject.cost.since(before).forward_passes
    assert paid > 0
    assert training.features() is read
    assert training.features_charged() is read
    assert subject.cost.since(before).forward_passes == paid
    peaks = subject.peak_activations(PROMPTS.harmful)
    for layer, rates in read.firing_rates.items():
        np.testing.assert_array_equal(rates, (peaks[layer] > 0.0).mean(axis=0))


def test_a_resumed_run_reads_them_again_for_nothing(subject: Subject):
    before = subject.cost
    assert Training(subject, PROMPTS).features().probe
    assert subject.cost == before


def test_what_was_read_for_nothing_is_paid_by_the_one_that_pays(subject: Subject):
    """Once, and as much as if it had been read then."""
    first = Training(subject, PROMPTS)
    before = subject.cost
    first.features_charged()
    paid = subject.cost.since(before)
    later, before = Training(subject, PROMPTS), subject.cost
    read = later.features()
    assert subject.cost == before
    assert later.features_charged() is read
    assert later.features_charged() is read
    assert subject.cost.since(before) == paid


def test_rates_are_of_either_kind_of_prompt(subject: Subject):
    read = Training(subject, PROMPTS).features()
    peaks = subject.peak_activations(PROMPTS.harmless)
    for layer, rates in read.harmless_rates.items():
        np.testing.assert_array_equal(rates, (peaks[layer] > 0.0).mean(axis=0))
    assert any((read.harmless_rates[i] != read.firing_rates[i]).any() for i in peaks)
