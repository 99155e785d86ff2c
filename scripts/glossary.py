"""Write `docs/glossary.md` from the docstrings of what an audit finds.

    uv run python -m scripts.glossary

A word is explained once, beside the code that means it; a test fails if the page says otherwise.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from sae_audit import findings, vocabulary
from sae_audit.findings.example import Finding
from sae_audit.findings.stages import STAGES, OfPrompts

PAGE = Path(__file__).parents[1] / "docs" / "glossary.md"

_HEAD = """# Glossary

Made from the docstrings by `uv run python -m scripts.glossary`. First the words of the method, then
what each stage of an audit is called, then every finding as `findings.json` has it, field by field.
"""

_WORDS: tuple[tuple[str, str], ...] = (
    ("ablation", "vocabulary.Ablation"),
    ("ablation scale", "vocabulary.Ablation.scale"),
    ("backups", "findings.PooledCascade.backups"),
    ("bypass", "findings.DirectionEvaluation.bypass"),
    ("candidate", "findings.CandidateSet"),
    ("cascade", "findings.Cascade"),
    ("certified", "findings.MinimalSet.certified"),
    ("clamp", "vocabulary.Ablation.clamp"),
    ("collateral", "findings.Collateral"),
    ("compensation ratio", "findings.Cascade.compensation_ratio"),
    ("direct attribution", "findings.DormantFeature.direct_attribution"),
    ("dormant feature", "findings.DormantFeature"),
    ("error term", "vocabulary.ErrorTerm"),
    ("feature", "vocabulary.FeatureId"),
    ("induce", "findings.DirectionEvaluation.induce"),
    ("interaction", "findings.InteractionGraph"),
    ("KL", "findings.DirectionEvaluation.kl"),
    ("minimal set", "findings.MinimalSet"),
    ("null of the search", "findings.SearchNull"),
    ("pooled set", "findings.PooledSet"),
    ("refusal direction", "findings.Direction"),
    ("refusal score", "findings.PromptScore.score"),
    ("successive directions", "findings.SuccessiveDirections"),
    ("sufficiency", "findings.Sufficiency"),
    ("template position", "findings.DirectionEvaluation.position"),
    ("wave", "findings.Wave"),
)
"""Words of the method, and the class or field whose docstring explains each."""


def page() -> str:
    """The text of the glossary."""
    lines = [_HEAD, "## Words\n"]
    lines += [f"**{word}** (`{name}`): {_explained(name)}\n" for word, name in _WORDS]
    lines += ["## Stages\n", "| name | what it does | rows |", "|---|---|---|"]
    lines += [
        f"| `{one.name}` | {one.label} | {'a prompt' if isinstance(one, OfPrompts) else 'a run'} |"
        for one in STAGES
    ]
    lines.append("\n## Findings\n")
    for kind in _kinds():
        lines.append(f"### {kind.__name__}\n\n{_plain(inspect.getdoc(kind) or '')}\n")
        lines += [f"- `{name}`: {_plain(doc)}" for name, doc in _fields(kind)]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _kinds() -> list[type[Finding]]:
    found = {one for one in vars(findings).values() if _is_finding(one)}
    return sorted(found, key=lambda one: one.__name__)


def _is_finding(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, Finding) and one is not Finding


def _explained(name: str) -> str:
    module, kind, *field = name.split(".")
    rooms: dict[str, ModuleType] = {"findings": findings, "vocabulary": vocabulary}
    found = getattr(rooms[module], kind)
    if not field:
        return _plain(inspect.getdoc(found) or "")
    own = dict(_fields(found)).get(field[0]) or inspect.getdoc(getattr(found, field[0]))
    return _plain(own or "")


def _fields(kind: type) -> Iterator[tuple[str, str]]:
    """The docstring of each field that has one."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef), kind
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
            assert isinstance(statement.target, ast.Name), kind
            assert isinstance(following.value, ast.Constant), kind
            yield statement.target.id, str(following.value.value)


def _plain(doc: str) -> str:
    return re.sub(r"\s+", " ", doc).strip()


if __name__ == "__main__":
    PAGE.write_text(page())
