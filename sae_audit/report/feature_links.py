"""Addresses of features on the report's page: `#L16/25312`."""

from markupsafe import Markup

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
