from sae_audit.bench.cases import Bed
from sae_audit.bench.results import Row


def pair_rows(bed: Bed) -> list[Row]:
    return []
