import pytest

from sae_audit.vocabulary import FeatureId


def test_a_feature_id_prints_and_parses():
    assert str(FeatureId(16, 25312)) == "L16/25312"
    assert FeatureId.parse("L16/25312") == FeatureId(16, 25312)


def test_feature_ids_sort_by_layer_first():
    assert sorted([FeatureId(2, 1), FeatureId(1, 9)]) == [FeatureId(1, 9), FeatureId(2, 1)]


@pytest.mark.parametrize("printed", ["16/2", "L16", "L-1/2", "L1/2/3", ""])
def test_other_forms_are_no_feature_ids(printed: str):
    with pytest.raises(ValueError, match="no feature id"):
        FeatureId.parse(printed)
