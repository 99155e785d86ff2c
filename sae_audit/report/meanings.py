"""What each question of the summary is about, in a sentence for a reader who is new to it."""

MEANINGS = {
    "Which claims stand?": (
        "Each claim has one rule and one control; only what is beyond its control stands."
    ),
    "Were features shown to carry refusal?": (
        "If not, refusal is there, and nothing is claimed of what carries it."
    ),
    "Is there refusal, tied to harm, to explain?": (
        "If not, there is nothing to look for, and the audit ends."
    ),
    "Does the model refuse?": "The model's own behaviour, before anything is switched off.",
    "Does one direction carry refusal?": (
        "Whether one line in the model's inner state is enough to turn refusal off and on."
    ),
    "In which layer does refusal reach the end of the prompt?": (
        "How far the request is read before the answer's first word is settled."
    ),
    "Is refusal the same for every kind of request?": (
        "Whether requests that are refused for other reasons are refused by another mechanism."
    ),
    "How many directions, one behind the other?": (
        "Whether refusal goes on by another line once the first is taken out."
    ),
    "How few features hold up a refusal?": (
        "The fewer it takes, the more easily a refusal is removed."
    ),
    "Is there more than one way to flip a refusal?": (
        "Where many different sets do, no single feature is the one that matters."
    ),
    "How much of an ablation does it take?": (
        "How far features must be turned down before the refusal ends."
    ),
    "Does the text of the answer flip too?": (
        "A score looks at the first word alone; here whole answers were read by a judge."
    ),
    "Which sets flip the text of the answer, none to be spared?": (
        "Sets that are minimal by what the answer says, not by the score."
    ),
    "Would a dictionary that has learned nothing do as well?": (
        "If so, the sets are about the refusal direction, not about features of this model."
    ),
    "How much of the mechanism do the SAEs not show?": (
        "What lies outside the features that were searched, and outside the SAEs."
    ),
    "Does one set work for all prompts?": (
        "Whether a few features hold up refusal in general, or each prompt has its own."
    ),
    "What does a factorization machine on co-activations add to the filtered set?": (
        "Whether features that fire together with the set matter as well."
    ),
    "Do features interact?": (
        "Pairs that cover for each other, or act through one path, so that single effects do not "
        "add up."
    ),
    "Do backups take over?": (
        "Whether features that were silent begin to fire and rescue the refusal."
    ),
    "Are the same features enough to refuse?": (
        "Switching features off shows that they are needed; switching them on, whether they "
        "suffice."
    ),
    "Does the search find more than a ranking of training prompts would?": (
        "Whether a simpler method would have found sets as good."
    ),
    "Do the sets break the model?": "Whether a refusal ended because the model no longer works.",
    "What does the ablation break?": "What else changes in answers to harmless prompts.",
    "How far can the SAEs be trusted here?": (
        "How well the SAEs describe this very model; if badly, nothing said of features holds."
    ),
}
"""By question."""
