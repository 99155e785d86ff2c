"""Whether a score refuses, at, above and below 0."""

import subprocess
import sys

import numpy as np
import pytest

from sae_audit.margins import answers, refuses

_LEAST = float(np.nextafter(0.0, 1.0))


@pytest.mark.parametrize(
    ("score", "refused", "answered"),
    [
        (_LEAST, True, False),
        (0.0, False, False),
        (-0.0, False, False),
        (-_LEAST, False, True),
        (float("nan"), False, False),
        (float("inf"), True, False),
    ],
)
def test_exactly_zero_neither_refuses_nor_answers(score: float, refused: bool, answered: bool):
    assert refuses(score) is refused
    assert answers(score) is answered
    assert refuses(np.array([score, score])).tolist() == [refused] * 2
    assert answers(np.array([[score]], np.float32 if score == 0.0 else float)).tolist() == [
        [answered]
    ]


def test_a_number_of_numpy_gives_a_bool_of_python():
    assert refuses(np.float64(2.0)) is True
    assert answers(np.float64(2.0)) is False


def test_records_need_no_torch_to_ask():
    asked = "import sys, sae_audit.margins; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
