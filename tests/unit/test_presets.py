"""From a preset, a file and the command line to one config."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.presets import build_config, preset_names
from sae_audit.record.folder import write_config
from sae_audit.untrusted import unprintable

NEEDED = {"model": "m", "saes": "s", "prompts.sources": ["p"]}


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_complete(preset: str):
    assert build_config(preset, {}, []).name == preset


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_reads_its_flips_in_text(preset: str):
    """Those of real models too: a flipped score is only the first token of an answer."""
    assert build_config(preset, {}, []).confirm == "text"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("judge.kind=instruct", "do not go together: a judge of kind instruct needs judge.model"),
        ("error_term=frozen", "do not go together: answers under ablation have no clean run"),
    ],
)
def test_settings_that_do_not_go_together_say_so_and_nothing_else(setting: str, message: str):
    with pytest.raises(AuditError, match=message) as refused:
        build_config("organism", {"confirm": "text"}, [setting])
    assert "{" not in str(refused.value)


def test_later_wins():
    config = build_config(
        "organism",
        {"seed": 3, "device": None},
        ["candidates.per_layer=32", "seed=4", "layers=[1, 2]", "positions=template"],
    )
    assert (config.seed, config.candidates.per_layer, config.layers) == (4, 32, (1, 2))
    assert config.positions == "template"
    assert config.device == "auto"


def test_a_written_config_reads_back_the_same(tmp_path: Path):
    config = build_config("organism", {}, ["clamp=-0.5", "error_term=dropped"])
    write_config(config, tmp_path / "config.yaml")
    assert build_config(str(tmp_path / "config.yaml"), {}, []) == config


@pytest.mark.parametrize(
    ("target", "options", "settings", "complaint"),
    [
        ("organizm", {}, [], "No preset or config file 'organizm'; presets are gemma-2-2b-it, "),
        (None, {"model": "m", "saes": "s"}, [], "'prompts' is missing; give --prompts"),
        (None, {}, [], "'model' is missing; give --model"),
        (None, NEEDED, ["layer=3"], "Unknown setting 'layer'"),
        (None, NEEDED, ["candidates.per_layers=3"], r"Unknown setting 'candidates\.per_layers'"),
        (None, NEEDED, ["candidates.per_layer=0"], r"'candidates\.per_layer' is 0"),
        (None, NEEDED, ["candidates.per_layer"], "has no '='"),
        (None, NEEDED, ["candidates.per_layer=[8, 0]"], r"'candidates\.per_layer' is 0"),
        (None, NEEDED, ["candidates.per_layer=[]"], r"'candidates\.per_layer' is a list"),
        (None, NEEDED, ["candidates.per_layer=many"], r"'candidates\.per_layer' is 'many'"),
        (None, NEEDED, ["coactivation.enabled=true"], "minimal.search is splitting"),
        (None, NEEDED, ["minimal.certify=text"], "needs a judge of answers, and confirm is score"),
        (None, NEEDED, ["minimal.certify=judge"], r"'minimal\.certify' is 'judge'"),
        (None, NEEDED, ["minimal.texts_budget=0"], r"'minimal\.texts_budget' is 0"),
        (None, NEEDED, ["seed.x=1", "seed=2", "seed.y=1"], "single value"),
        (None, NEEDED, ["layers=[1"], "no YAML"),
        (None, NEEDED, ["layers=[]"], "'layers' is a list: .*at least 1 item"),
        (None, NEEDED, ["layers=[-1]"], r"'layers\.0' is -1"),
        (None, NEEDED, ["refusal_tokens=[]"], "'refusal_tokens' is a list"),
        (None, NEEDED, ["seed=-1"], "'seed' is -1"),
        (None, NEEDED, ["seed=" + "9" * 5000], "no YAML"),
        (None, NEEDED, ["seed=" + "9" * 4000], "number of"),
        (None, NEEDED, ["seed=" + "9" * 90], "'seed' is a number of many digits: .* too large"),
        (None, NEEDED, ["clamp=.nan"], "'clamp' is nan"),
        (None, NEEDED, ["clamp=soft"], "'clamp' is 'soft'"),
        (None, NEEDED, ["device_map={lm_head: [1]}"], "'device_map' is a dict"),
        (
            None,
            NEEDED,
            ["refusal_tokens=[no]"],
            "'refusal_tokens.0' is False.* in quotes of its own",
        ),
        (None, NEEDED, ["answer_prefix=12"], "'answer_prefix' is 12.* in quotes of its own"),
        (None, NEEDED, ["layers=7"], r"'layers' is 7; give a list: --set 'layers=\[\.\.\.\]'"),
        (None, NEEDED, ["judge=instruct"], "'judge' is 'instruct', and has parts"),
        (None, NEEDED, [f"answer_tokens={10**9}"], "'answer_tokens' is 1000000000"),
        (None, NEEDED, [f"tokens_per_batch={2**50}"], "'tokens_per_batch' is"),
        (None, NEEDED, [f"interactions.n_masks={2**50}"], "'interactions.n_masks' is"),
        (None, NEEDED, ["name=../../escaped"], "'name' is '../../escaped': it holds a path"),
        (None, NEEDED, ["name=/tmp/escaped"], "it holds a path"),
        (None, NEEDED, ["name=.."], "it names no folder of its own"),
        (None, NEEDED, ["name=a\u202eb"], r"'name' is 'a\\u202eb': it holds \\u202e"),
        (None, {**NEEDED, "model": "a\x00b"}, [], r"'model' is 'a\\x00b': it holds \\x00"),
        (None, {**NEEDED, "model": "a" * 300}, [], "255 between two slashes"),
        (None, NEEDED, ["seed=2026-99-99"], "'seed' is '2026-99-99'"),
        ("~nobody/none", {}, [], "No preset or config file"),
        ("x" * 300, {}, [], "No preset or config file"),
        (None, {**NEEDED, "dtype": "float8"}, [], "'dtype' is 'float8'"),
    ],
)
def test_faults_name_the_setting(target, options, settings: list[str], complaint: str):
    with pytest.raises(AuditError, match=complaint):
        build_config(target, options, settings)


@pytest.mark.parametrize("name", ["paper-gemma-2-2b-it", "paper-llama-3.1-8b-it"])
def test_the_papers_presets_leave_out_what_the_paper_has_not(name: str):
    config = build_config(name, {}, [])
    assert config.candidates.widen_rounds == 0
    assert config.candidates.per_layer == (10, 20, 50, 100, 200)
    assert config.candidates.most_per_layer == 200
    assert config.minimal.search == "greedy"
    assert config.coactivation.enabled
    assert not build_config("organism", {}, []).coactivation.enabled


def test_a_file_that_holds_no_settings(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("- a\n- b\n")
    with pytest.raises(AuditError, match="holds no settings"):
        build_config(str(tmp_path / "config.yaml"), {}, [])


def test_settings_are_documented_where_the_error_says():
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    for name, field in AuditConfig.model_fields.items():
        assert f"`{name}" in text, name
        inner = getattr(field.annotation, "model_fields", {})
        for key in inner:
            assert f"`{name}.{key}`" in text, f"{name}.{key}"


BOMB = "a: &a [x, x]\nmodel: &b [*a, *a]\nsaes: [*b, *b]\n"


@pytest.mark.parametrize("where", ["file", "setting"])
def test_a_short_text_cannot_stand_for_a_long_one(tmp_path: Path, where: str):
    (tmp_path / "config.yaml").write_text(BOMB)
    target, options = (str(tmp_path / "config.yaml"), {}) if where == "file" else (None, NEEDED)
    with pytest.raises(AuditError, match="alias") as refused:
        build_config(target, options, ["layers=[&a 1, *a]"] if where == "setting" else [])
    assert len(str(refused.value)) < 500


class TestCodeOfACheckpoint:
    """Whether it is run is the command line's to say, or the caller's; a file has no voice in it."""

    def test_a_file_cannot_ask_for_it(self, tmp_path: Path):
        file = tmp_path / "config.yaml"
        file.write_text("model: m\nsaes: s\nprompts: {sources: [p]}\ntrust_remote_code: true\n")
        with pytest.raises(AuditError, match=r"no file\s+may.*--trust-remote-code"):
            build_config(str(file), {}, [])
        with pytest.raises(AuditError, match=r"no file\s+may"):
            build_config(str(file), {"trust_remote_code": True}, [])

    def test_the_command_line_can(self):
        asked = build_config("organism", {"trust_remote_code": True}, [])
        assert asked.trust_remote_code

    def test_a_run_does_not_hand_it_on(self, tmp_path: Path):
        asked = build_config("organism", {"trust_remote_code": True}, [])
        write_config(asked, tmp_path / "config.yaml")
        assert "trust_remote_code" not in (tmp_path / "config.yaml").read_text()
        assert not build_config(str(tmp_path / "config.yaml"), {}, []).trust_remote_code


KEYS = sorted(
    set(AuditConfig.model_fields)
    | {
        f"{name}.{key}"
        for name, field in AuditConfig.model_fields.items()
        for key in getattr(field.annotation, "model_fields", {})
    }
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.sampled_from(["auto", "*a", "&a x", "!!python/object:os.system x", "~nobody", "2026-99-99"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


class TestAnything:
    """A config file, an option or a setting from anywhere gives a config or one sentence."""

    @given(
        settings=st.lists(
            st.tuples(st.sampled_from(KEYS) | st.text(max_size=12), st.text() | VALUES.map(str)),
            max_size=4,
        )
    )
    def test_settings(self, settings: list[tuple[str, str]]):
        self.one_sentence(lambda: build_config("organism", {}, [f"{k}={v}" for k, v in settings]))

    @given(values=st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=12), VALUES, max_size=4))
    def test_options(self, values: dict[str, object]):
        self.one_sentence(lambda: build_config("organism", values, []))

    @given(text=st.text(st.characters(), max_size=200) | VALUES.map(yaml.safe_dump))
    def test_files(self, text: str):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "config.yaml"
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
            self.one_sentence(lambda: build_config(str(file), {}, []))

    @given(target=st.text(st.characters(), min_size=1, max_size=300))
    def test_targets(self, target: str):
        self.one_sentence(lambda: build_config(target, {}, []))

    @staticmethod
    def one_sentence(build: Callable[[], AuditConfig]) -> None:
        try:
            build()
        except AuditError as error:
            said = str(error)
            assert 0 < len(said) < 1500
            assert unprintable(said) is None
            assert "\n" not in said


@pytest.mark.parametrize("variant", ["worn", "backup", "benign", "shuffled"])
def test_variants_of_the_real_model_can_be_compared_with_it(variant: str):
    """They are read by the refusal tokens that the audit of `safe` found: others are refused there."""
    sample = Path(__file__).parents[2] / "reports" / "sample-smollm2" / "manifest.json"
    found = json.loads(sample.read_text())["refusal_tokens"]["texts"]
    read = build_config(f"smollm2-{variant}", {}, []).refusal_tokens
    assert read is not None
    assert list(read) == found
