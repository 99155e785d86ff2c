"""Templates of strangers: rendered as transformers does, and nothing of what they try works."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_audit.errors import AuditError
from sae_audit.subject.judges.models import read_template
from sae_audit.subject.template import rendering
from sae_audit.subject.template.chat import chat_template
from sae_audit.subject.template.rendering import TemplateError, rendered
from tests import tiny
from tests.templates import FAMILIES, tokenizer_of

SYNTAX = {
    "blocks": "  {% if true %}\n  {{ messages[0].content }}\n  {% endif %}\n tail",
    "loops": "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i > 5 %}"
    "{% break %}{% endif %}{{ i }}{{ loop.index }}{% endfor %}",
    "generation": "{% set x = 1 %}{% for m in messages %}{% generation %}{% set x = 2 %}"
    "{{ m.content }}{% endgeneration %}{% endfor %}{{ x }}",
    "json": "{{ {'b': '<é>', 'a': [1, none]} | tojson(indent=2) }}{{ 'é' | tojson(ensure_ascii=true) }}"
    "{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}",
    "namespace": "{% set n = namespace(a=1) %}{% for i in [1, 2] %}{% set n.a = n.a + i %}{% endfor %}"
    "{{ n.a }}{{ dict(a=1) }}{{ dict.fromkeys('ab', 0) }}",
    "undefined": "[{{ nothing }}]{{ nothing is defined }}{{ tools is none }}{{ documents is none }}",
    "special": "{{ bos_token }}{{ unk_token }}{{ pad_token }}{{ add_generation_prompt }}",
    "escapes": "{{ '\\u00e9\\n' }}{{ '<b>' | e }}{{ 'a' ~ 1 }}{{ '%s' | format('x') }}{{ 'é'.upper() }}",
    "macro": "{% macro f(x) -%} <{{ x }}> {%- endmacro %}{{ f('a') }}{{ f('b') }}",
}


def theirs(tokenizer: Any, text: str, system: str | None = None) -> str:
    turns = [{"role": "user", "content": text}]
    if system is not None:
        turns.insert(0, {"role": "system", "content": system})
    given = {"date_string": "26 Jul 2024"}
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **given)


def ours(tokenizer: Any, source: str, text: str) -> str:
    given = {
        **tokenizer.special_tokens_map,
        "date_string": "26 Jul 2024",
        "messages": [{"role": "user", "content": text}],
        "tools": None,
        "documents": None,
        "add_generation_prompt": True,
    }
    return rendered(source, given, kind="chat")


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=20)
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("system", [None, "Be brief."])
def test_published_templates_render_as_transformers_renders_them(
    name: str, system: str | None, text: str
):
    if system is not None and FAMILIES[name].system is None:
        return
    template = _made(name, system)
    assert template.rendered(text) == theirs(template.tokenizer, text, system)


_MADE: dict[tuple[str, str | None], Any] = {}


def _made(name: str, system: str | None) -> Any:
    if (name, system) not in _MADE:
        _MADE[name, system] = chat_template(
            tokenizer_of(name), template_file=None, system_prompt=system
        )
    return _MADE[name, system]


@pytest.mark.parametrize("source", SYNTAX.values(), ids=SYNTAX)
def test_all_that_templates_may_use_is_rendered_alike(source: str):
    tokenizer = tokenizer_of("mistral", template=source)
    assert ours(tokenizer, source, "Hi <é>") == theirs(tokenizer, "Hi <é>")


def test_the_clock_stands_still():
    source = "{{ strftime_now('%d %B %Y %-d %H:%M') }}"
    assert rendered(source, {}, kind="chat") == "26 July 2024 26 00:00"


ESCAPES = (
    "{{ cycler.__init__.__globals__.os.popen('touch FILE').read() }}",
    "{{ joiner.__init__.__globals__.os.popen('touch FILE').read() }}",
    "{{ lipsum.__globals__['os'].popen('touch FILE').read() }}",
    "{{ self.__init__.__globals__.__builtins__.open('FILE', 'w') }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('touch FILE') }}",
    "{{ namespace.__init__.__globals__.os.popen('touch FILE').read() }}",
    "{{ namespace(__init__=1) }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ()|attr('__class__')|attr('__base__')|attr('__subclasses__')() }}",
    "{{ [lipsum]|map(attribute='__globals__')|list|first|attr('get')('os') }}",
    "{{ ['']|map(attribute='__class__.__mro__')|first|last|attr('mro')() }}",
    "{{ '{0.__class__.__mro__}'.format('').upper().missing.more }}",
    "{{ '{0.__init__.__globals__}'.format(cycler).missing.more }}",
    "{{ '{x.__class__}'.format_map({'x': 1}).missing.more }}",
    "{{ raise_exception.__globals__['os'].popen('touch FILE') }}",
    "{{ strftime_now.__self__.__class__.__mro__ }}{{ strftime_now.__self__.__reduce__() }}",
    "{% set f = dict.__call__.__globals__ %}{{ f['sys'].exit() }}",
    "{{ (1).__class__.__base__.__subclasses__() }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "{{ messages.__class__.__init__.__globals__ }}",
    "{% include '/etc/passwd' %}",
    "{% import '/etc/passwd' as p %}{{ p }}",
    "{{ messages.append(1) }}",
    "{{ [].clear() }}",
)


@pytest.mark.parametrize("kind", ["chat", "plain"])
@pytest.mark.parametrize("source", ESCAPES)
def test_no_way_out_of_the_sandbox(source: str, kind: Any, tmp_path: Path):
    """The control is below: outside the sandbox the first of them writes the file."""
    file = tmp_path / "written"
    with pytest.raises(TemplateError) as refused:
        rendered(source.replace("FILE", str(file)), {"messages": []}, kind=kind)
    assert len(str(refused.value).splitlines()) == 1
    assert not file.exists()


def test_outside_the_sandbox_the_command_runs(tmp_path: Path):
    from jinja2 import Environment

    file = tmp_path / "written"
    Environment().from_string(ESCAPES[0].replace("FILE", str(file))).render()
    assert file.exists()


def test_a_judge_template_runs_no_command(tmp_path: Path):
    file, template = tmp_path / "written", tmp_path / "judge.jinja"
    template.write_text("{{ prompt }}{{ completion }}" + ESCAPES[0].replace("FILE", str(file)))
    with pytest.raises(AuditError, match=r"judge template .* cannot be used: access to attribute"):
        read_template(template)
    assert not file.exists()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ 'a' * 10**10 }}", "too much memory"),
        ("{{ 'a'.center(10**10) }}", "too much memory"),
        ("{{ 'a' | center(10**10) }}", "too much memory"),
        ("{{ '%10000000000d' % 1 }}", "too much memory"),
        ("{{ ('a\\n' * 10**5) | indent(10**5) | length }}", "too much memory"),
        ("{{ 'a' * 10**7 }}", "writes more than"),
        ("{% for i in range(99999) %}{{ 'a' * 100 }}{% endfor %}", "writes more than"),
        ("{{ range(10**9) | length }}", "OverflowError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself without end"),
        ("{{ " + "-" * 50_000 + "1 }}", "calls itself without end"),
        ("{{ 1 + 'a' }}", "TypeError: unsupported operand"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ nothing.more }}", "'nothing' is undefined"),
        ("{{ raise_exception('no\nway') }}", "^no$"),
        ("{% if", "unexpected 'end of template'"),
        ("{{ '\\ud800' }}", r"\\ud800, half a character"),
        ("a" * ((1 << 20) + 1), "1048577 characters"),
    ],
)
def test_what_cannot_be_rendered_is_one_sentence(source: str, reason: str):
    with pytest.raises(TemplateError, match=reason) as refused:
        rendered(source, {}, kind="chat")
    assert len(str(refused.value).splitlines()) == 1
    assert rendered("{{ 1 + 1 }}", {}, kind="chat") == "2", "the next template is served"


def test_an_endless_template_is_stopped_and_leaves_nothing_behind():
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    rendered("warm", {}, kind="chat")
    process = rendering._PROCESS._started
    assert process is not None
    with pytest.raises(TemplateError, match="more than a few seconds"):
        rendered(endless, {}, kind="chat")
    assert process.returncode is not None, "waited for: no zombie"
    assert rendered("after", {}, kind="chat") == "after"


def test_a_process_that_does_not_answer_is_stopped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendering, "_SECONDS", 0.05)
    with pytest.raises(TemplateError, match="more than a few seconds"):
        rendered(
            "{% for i in range(99999) %}{{ range(9999) | list | length }}{% endfor %}",
            {},
            kind="chat",
        )


def test_an_interruption_is_waited_for_by_nothing_and_mixes_no_answers():
    """Ctrl-C while a template is being rendered, in a program that goes on."""
    rendered("warm", {}, kind="chat")
    slow = "{% for i in range(3000) %}{{ range(3000) | list | length }}{% endfor %}"

    def interrupt(_signal: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            rendered(slow, {}, kind="chat")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert rendered("after", {}, kind="chat") == "after"
    waited_for = [thread for thread in threading.enumerate() if not thread.daemon]
    assert waited_for == [threading.main_thread()]


def test_threads_get_their_own_answers():
    wrong: list[int] = []

    def ask(number: int) -> None:
        found = [rendered("{{ n }}", {"n": number}, kind="chat") for _ in range(20)]
        wrong.extend(number for one in found if one != str(number))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_it_ends_with_its_parent_however_that_ends():
    program = (
        "import importlib.util, os, signal;"
        f"spec = importlib.util.spec_from_file_location('rendering', {rendering.__file__!r});"
        "rendering = importlib.util.module_from_spec(spec); spec.loader.exec_module(rendering);"
        "rendering.rendered('a', {}, kind='chat');"
        "print(rendering._PROCESS._started.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    pid = int(ended.stdout)
    for _ in range(100):
        if not _is_alive(pid):
            return
        time.sleep(0.05)
    os.kill(pid, 9)
    pytest.fail("it outlived its parent")


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_a_template_that_got_out_would_find_no_file_to_open():
    rendered("warm", {}, kind="chat")
    process = rendering._PROCESS._started
    assert process is not None
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
    assert rows["Max open files"] == ["0", "0"]
    assert rows["Max address space"] == [str(512 << 20)] * 2


def test_a_chat_template_file_of_megabytes_is_refused(tmp_path: Path):
    file = tmp_path / "template.jinja"
    file.write_text("a" * (2 << 20))
    with pytest.raises(AuditError, match="2097152 characters, and at most 1048576"):
        chat_template(tiny.tokenizer(), template_file=file, system_prompt=None)


@pytest.mark.parametrize("source", [["a list"], 7, {"other": "{{ messages }}"}])
def test_a_chat_template_that_is_no_text(source: Any):
    tokenizer = tokenizer_of("mistral")
    tokenizer.chat_template = source
    with pytest.raises(AuditError, match=r"no text|no default one"):
        chat_template(tokenizer, template_file=None, system_prompt=None)
