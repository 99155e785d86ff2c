"""Null dictionaries keep what they say that they keep, and nothing else."""

from typing import Any

import numpy as np
import pytest
import torch

from sae_audit.findings import NullKind
from sae_audit.subject.saes.null_dictionary import null_suite
from sae_audit.subject.saes.rotation import Turn, rotation, rotation_about
from sae_audit.subject.saes.sae import Sae, decoder_cosines
from tests import tiny

DIRECTION = np.random.default_rng(5).standard_normal(tiny.D_MODEL)


def real(architecture: str = "jumprelu") -> dict[int, Sae]:
    return {
        layer: Sae(tiny.sae(architecture, layer), layer=layer, id=str(layer), sha256="")
        for layer in (0, 1)
    }


DRAWN = [kind for kind in NullKind if kind.drawn]


def null(kind: NullKind, seed: int = 0, **options: Any) -> tuple[dict[int, Sae], dict[int, Sae]]:
    suite = real(**options)
    return suite, null_suite(suite, kind, DIRECTION, seed=(seed,))


def cosines(sae: Sae) -> torch.Tensor:
    return decoder_cosines(sae, torch.tensor(DIRECTION)[None].float())[0]


def angles(rows: torch.Tensor) -> torch.Tensor:
    unit = torch.nn.functional.normalize(rows.float(), dim=1)
    return unit @ unit.T


@pytest.mark.parametrize("kind", DRAWN)
def test_norms_are_kept_and_rows_are_others(kind: NullKind):
    for before, after in zip(*(one.values() for one in null(kind)), strict=True):
        torch.testing.assert_close(
            after.decoder.norm(dim=1), before.decoder.norm(dim=1), rtol=1e-4, atol=1e-5
        )
        assert angles(torch.cat([before.decoder[:1], after.decoder[:1]]))[0, 1] < 0.99


@pytest.mark.parametrize("kind", [NullKind.ROTATED, NullKind.ROTATED_ABOUT_DIRECTION])
def test_rotations_keep_all_angles_within_the_dictionary(kind: NullKind):
    for before, after in zip(*(one.values() for one in null(kind)), strict=True):
        torch.testing.assert_close(angles(after.decoder), angles(before.decoder), atol=1e-4, rtol=0)
        read = [one.sae.W_enc.T @ one.sae.W_dec.T for one in (before, after)]
        torch.testing.assert_close(read[1], read[0], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", [NullKind.RANDOM_ROWS, NullKind.SAME_COSINES])
def test_random_rows_leave_the_encoder(kind: NullKind):
    x = torch.randn(1, 5, tiny.D_MODEL, generator=torch.Generator().manual_seed(0))
    for before, after in zip(*(one.values() for one in null(kind)), strict=True):
        torch.testing.assert_close(after.encode(x), before.encode(x))
        assert (angles(after.decoder) - angles(before.decoder)).abs().max() > 0.2


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (NullKind.ROTATED, False),
        (NullKind.ROTATED_ABOUT_DIRECTION, True),
        (NullKind.RANDOM_ROWS, False),
        (NullKind.SAME_COSINES, True),
    ],
)
def test_cosines_with_the_direction_are_kept_by_those_that_say_so(kind: NullKind, kept: bool):
    for before, after in zip(*(one.values() for one in null(kind)), strict=True):
        assert torch.allclose(cosines(after), cosines(before), atol=1e-4) is kept


@pytest.mark.parametrize("kind", DRAWN)
def test_the_seed_decides_and_layers_differ(kind: NullKind):
    (_, first), (_, again), (_, other) = null(kind), null(kind), null(kind, seed=1)
    torch.testing.assert_close(first[0].decoder, again[0].decoder)
    assert not torch.allclose(first[0].decoder, other[0].decoder)
    suite = real()
    suite[1].sae.W_dec.data, suite[1].sae.W_enc.data = (
        suite[0].sae.W_dec.data,
        suite[0].sae.W_enc.data,
    )
    same = null_suite(suite, kind, DIRECTION, seed=(0,))
    assert not torch.allclose(same[0].decoder, same[1].decoder)


@pytest.mark.parametrize("architecture", ["standard", "jumprelu", "gated", "topk"])
def test_the_original_is_untouched_and_shares_all_else(architecture: str):
    suite = real(architecture)
    columns, rows = suite[0].sae.W_enc.clone(), suite[0].sae.W_dec.clone()
    made = null_suite(suite, NullKind.ROTATED, DIRECTION, seed=(0,))
    torch.testing.assert_close(suite[0].sae.W_enc, columns)
    torch.testing.assert_close(suite[0].sae.W_dec, rows)
    assert made[0].sae.b_dec is suite[0].sae.b_dec
    x = torch.randn(1, 4, tiny.D_MODEL)
    assert not torch.allclose(made[0].encode(x), suite[0].encode(x))


@pytest.mark.parametrize("subtracts", [True, False])
@pytest.mark.parametrize("architecture", ["standard", "jumprelu", "gated", "topk"])
def test_a_rotated_dictionary_reads_the_stream_turned_about_its_bias(
    architecture: str, subtracts: bool
):
    """`Turn` computes the same without a second dictionary; about the origin it would be another."""
    sae = tiny.sae(architecture, 0, apply_b_dec_to_input=subtracts)
    sae.b_dec.data += 3.0
    suite = {0: Sae(sae, layer=0, id="0", sha256="")}
    rotated = null_suite(suite, NullKind.ROTATED, DIRECTION, seed=(0,))[0]
    columns = suite[0].sae.W_enc.data
    matrix = rotated.sae.W_enc.data @ torch.linalg.pinv(columns)
    x = sae.b_dec.data + torch.randn(2, 3, tiny.D_MODEL)
    found = rotated.decode(rotated.encode(x), x)
    torch.testing.assert_close(Turn(matrix).rebuilt(suite[0], x), found, atol=2e-3, rtol=1e-3)
    fire = rotated.encode(x) > 0
    assert 0.02 < fire.float().mean() < 0.98


def test_rotations_are_orthogonal_and_the_direction_can_be_fixed():
    unit = torch.tensor(DIRECTION / np.linalg.norm(DIRECTION)).float()
    for made in (
        rotation(tiny.D_MODEL, np.random.default_rng(1)),
        rotation_about(unit, np.random.default_rng(1)),
    ):
        torch.testing.assert_close(made @ made.T, torch.eye(tiny.D_MODEL), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        rotation_about(unit, np.random.default_rng(1)) @ unit, unit, atol=1e-5, rtol=0
    )
    first = torch.eye(tiny.D_MODEL)[0]
    torch.testing.assert_close(rotation_about(first, np.random.default_rng(2)) @ first, first)
