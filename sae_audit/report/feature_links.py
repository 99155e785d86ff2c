"""Addresses of features on the report's page: `#L16/25312`."""

from markupsafe import Markup

from sae_audit.pages import feature_links as mentions
from sae_audit.record.run import Run
from sae_audit.vocabulary import FeatureId


def addresses(run: Run) -> frozenset[FeatureId]:
    """The features that have an address on the run's page: those that findings name, and candidates."""
    if run.stopped_early:
        return frozenset()
    return frozenset({one.feature for one in run.features.named}).union(run.candidates.ranked)


def link(feature: FeatureId) -> Markup:
    """A link to the feature's address."""
    return Markup('<a class="mono" href="#{0}">{0}</a>').format(str(feature))


def linked(page: str, run: Run) -> str:
    """The page with every mention of a feature that has an address on it as a link to that address."""
    known = {str(one) for one in addresses(run)}
    return mentions.linked(page, lambda one: f"#{one}" if one in known else None)
