"""A catalog of one's own, or of anyone: suites, or one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_audit.catalog import Suite, neuronpedia_source, read_catalog
from sae_audit.errors import AuditError
from sae_audit.subject.saes.files import read_sae
from sae_audit.subject.saes.places import sae_places
from sae_audit.untrusted import unprintable
from tests import published
from tests.local_hub import LocalHub

SUITE: dict[str, Any] = {
    "name": "mine",
    "models": ["org/tiny"],
    "trained_on": "org/tiny",
    "activations": "instruct",
    "repository": "org/saes",
    "ids": "layer_{layer}",
    "layers": "0-2",
    "d_model": 16,
    "architecture": "standard",
}


def read(folder: Path, text: str | bytes) -> list[Suite]:
    file = folder / "own.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_catalog(file)


def suite(folder: Path, **changed: Any) -> Suite:
    return read(folder, json.dumps([{**SUITE, **changed}]))[0]


@pytest.mark.parametrize(
    ("layers", "spelled"),
    [("0-2", (0, 1, 2)), ("9, 20,31", (9, 20, 31)), (5, (5,)), ([1, 3], (1, 3)), ("7-7", (7,))],
)
def test_layers(tmp_path: Path, layers: Any, spelled: tuple[int, ...]):
    assert suite(tmp_path, layers=layers).layers == spelled


@pytest.mark.parametrize(
    "layers",
    [
        "0-9999999999",
        "0-999999",
        "5-2",
        "-1",
        "",
        "a-b",
        "1-2-3",
        "0-999, 0-999",
        "\u0663",
        None,
        {},
        [],
        [-1],
        [10**20],
        ["x"],
        list(range(5000)),
        [[1]],
        1e300,
    ],
)
def test_layers_that_no_model_has(tmp_path: Path, layers: Any):
    with pytest.raises(AuditError, match=r"suite 'mine': "):
        suite(tmp_path, layers=layers)


@pytest.mark.parametrize("key", ["name", "notes", "repository", "ids", "trained_on", "licence"])
@pytest.mark.parametrize("text", ["a\x1b[2J", "\x1b]52;c;eA==\x07", "a\u202eb", "a\0b"])
def test_control_characters_are_shown_and_not_sent(tmp_path: Path, key: str, text: str):
    with pytest.raises(AuditError) as refused:
        suite(tmp_path, **{key: f"{{layer}} {text}"})
    assert unprintable(str(refused.value)) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "holds no list of suites"),
        (b"[", "is no YAML"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"- &a [x]\n- *a", "alias"),
        (b"- 5", "entry 1: "),
        (b"- [[a]]", "entry 1: "),
        (b"- {name: [x]}", "entry 1: name: "),
        (b"[" * 3000, "no YAML|nested"),
        (b"- {name: " + b"9" * 5000 + b"}", r"own\.yaml"),
    ],
)
def test_what_is_no_catalog(tmp_path: Path, text: bytes, complaint: str):
    with pytest.raises(AuditError, match=complaint):
        read(tmp_path, text)


@pytest.mark.parametrize("place", ["nothing.yaml", ".", "~nobody-at-all/x.yaml", "a\0b"])
def test_no_file(tmp_path: Path, place: str):
    with pytest.raises(AuditError):
        read_catalog(tmp_path / place if not place.startswith("~") else place)


@pytest.mark.parametrize(
    ("changed", "options", "complaint"),
    [
        ({"release": "of-nobody"}, {}, r"release 'of-nobody', which .* does not know"),
        ({"release": "gemma-scope-2b-pt-res", "ids": "x{layer}"}, {}, r"names 'x0', which"),
        (
            {"release": "gemma-scope-2b-pt-res", "l0": {"ids": "x{layer}{l0}"}},
            {"l0": 5},
            r"has no such SAE; correct l0\.ids",
        ),
        ({"repository": "org/saes@../../x"}, {}, r"holds no '\.\.'"),
    ],
)
def test_what_the_registry_does_not_have(
    tmp_path: Path, changed: dict[str, Any], options: dict[str, Any], complaint: str
):
    with pytest.raises(AuditError, match=complaint):
        sae_places("mine", catalog=[suite(tmp_path, **changed)], **options)


@pytest.mark.parametrize("remote", [True, False])
def test_a_suite_of_ones_own_in_a_publishers_layout(hub: LocalHub, tmp_path: Path, remote: bool):
    for layer in (0, 1):
        place = tmp_path / "saes" / f"layer_{layer}" / "width_16k" / "average_l0_6"
        place.mkdir(parents=True)
        (place / "params.npz").write_bytes(published.gemma_scope(layer)["params.npz"])
    hub.publish("org/saes", tmp_path / "saes")
    where = "org/saes" if remote else str(tmp_path / "saes")
    own = suite(
        tmp_path, repository=where, layers="0-1", ids="layer_{layer}/width_16k/average_l0_6"
    )
    places = sae_places("mine", catalog=[own])
    assert [place.format for place in places] == ["gemma_2", "gemma_2"]
    sae, _ = read_sae(places[1], device="cpu")
    torch.testing.assert_close(sae.W_dec, published.weights(1)["W_dec"])


def test_an_l0_that_nothing_offers(tmp_path: Path):
    with pytest.raises(AuditError, match="l0 needs choices"):
        suite(tmp_path, l0={"ids": "{layer}/{l0}"})


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(
    changes=st.dictionaries(st.sampled_from(sorted(Suite.model_fields)), junk, max_size=3),
    others=st.lists(junk, max_size=2),
)
def test_any_catalog_is_read_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any], others: list[Any]
):
    folder = tmp_path_factory.mktemp("catalog")
    try:
        found = read(folder, json.dumps([{**SUITE, **changes}, *others]))
    except AuditError as error:
        found = str(error)
    if isinstance(found, str):
        assert unprintable(found) is None
        assert len(found) < 1000
    else:
        assert all(isinstance(one, Suite) and len(one.layers) <= 1000 for one in found)


@settings(max_examples=60, deadline=None)
@given(text=st.binary(max_size=40) | st.text(alphabet="-[]{}:&*!|>%@`'\"#\n ab1", max_size=40))
def test_any_text_is_read_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, text: str | bytes
):
    try:
        read(tmp_path_factory.mktemp("catalog"), text)
    except AuditError as error:
        said = str(error)
    else:
        said = ""
    assert unprintable(said) is None


class TestNeuronpedia:
    def test_every_page_that_is_named_is_the_registrys(self):
        """sae_lens knows the page of each of its SAEs; ours are read without it."""
        from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

        registry = get_pretrained_saes_directory()
        named = [one for one in read_catalog() if one.neuronpedia is not None]
        assert len(named) > 10
        for one in named:
            assert one.release is not None
            known = registry[one.release].neuronpedia_id
            for layer in one.layers:
                source = neuronpedia_source(one.release, one.id_of(layer), layer)
                assert source == known[one.id_of(layer)], (one.name, layer)

    def test_no_other_sae_has_one(self):
        release, id = "gemma-scope-2b-pt-res-canonical", "layer_3/width_16k/canonical"
        assert neuronpedia_source(release, id, 3) == "gemma-2-2b/3-gemmascope-res-16k"
        assert neuronpedia_source(release, id, 4) == ""
        assert neuronpedia_source(release, "layer_99/width_16k/canonical", 99) == ""
        assert neuronpedia_source("./folder", id, 3) == ""

    @pytest.mark.parametrize(
        "written", ["gemma", "a/b", "https://x/{layer}", "a/../{layer}", "a/{layer}?x"]
    )
    def test_it_is_no_address_of_elsewhere(self, tmp_path: Path, written: str):
        with pytest.raises(AuditError, match="neuronpedia is written MODEL/SOURCE"):
            suite(tmp_path, neuronpedia=written)
