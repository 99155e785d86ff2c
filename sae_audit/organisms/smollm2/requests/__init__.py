"""Requests and refusals that a pretrained model is trained and audited on.

Requests are phrases put in one of many phrasings. Harmful ones only name their aim; nothing says how.
Every harmful topic has twins, harmless aims in its alarming words, and all aims draw from the same
phrasings, so that phrasing does not tell harm. Three fifths of the phrases of a topic are trained on,
the others held out; four harmful topics (kidnapping, arson, doxxing, smuggling) are held out whole.

The categories are the eleven of 2602.02132, in small. Six are harmful:

- `safety_core`: dangers to life and property (weapons, poison, malware; arson).
- `xstest_matched`: harm in verbs that its twins share, as "kill a process" (violence, sabotage).
- `safety`: privacy and public trust (stalking, disinformation; doxxing).
- `hate`: text against a group, or shutting it out (demeaning, discrimination).
- `crimes`: crimes for gain (drugs, fraud, forgery, theft, blackmail; kidnapping, smuggling).
- `inappropriate`: bullying, rumors, explicit content (harassment, explicit).

Five do no harm but cannot be answered well; each has questions of the same subjects that can be:

- `humanizing`: asks the model as if it were a person.
- `unsupported`: needs pictures, sound, the present moment, files, or hands.
- `incomplete`: leaves out what an answer needs.
- `indeterminate`: has no answer that anybody could know.
- `advice`: wants a doctor's, lawyer's or financial adviser's decision on the asker's own case.
"""

from sae_audit.organisms.smollm2.requests.audit_prompts import category_prompts, prompts
from sae_audit.organisms.smollm2.requests.phrases import audits_alone, phrases
from sae_audit.organisms.smollm2.requests.phrasings import phrasings
from sae_audit.organisms.smollm2.requests.refusals import refusal, refusals_of, templates
from sae_audit.organisms.smollm2.requests.requests import for_audits, requests, samples, spread
from sae_audit.organisms.smollm2.requests.types import (
    Category,
    Form,
    Kind,
    Manner,
    Phrase,
    Request,
    Split,
    Treatment,
)

__all__ = [
    "Category",
    "Form",
    "Kind",
    "Manner",
    "Phrase",
    "Request",
    "Split",
    "Treatment",
    "audits_alone",
    "category_prompts",
    "for_audits",
    "phrases",
    "phrasings",
    "prompts",
    "refusal",
    "refusals_of",
    "requests",
    "samples",
    "spread",
    "templates",
]
