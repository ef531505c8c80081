"""Tiny signed bundles: a booster trained in milliseconds, a manifest that names its factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.scoring.bundle import Manifest, write_bundle
from ljwx_pipeline.scoring.model import Member, Model, linear_text

FACTOR_HASH = "f" * 64
#: When requests that carry bundles are signed.
SENT_AT = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
CARD_TEXT = "# tiny\n\nA model for tests.\n"


def tiny_booster(*, factors: int = 4, seed: int = 0, rows: int = 400, scale: float = 1.0) -> str:
    """Return the text of a five-round booster that has learned its first factor, whose spread is ``scale``."""
    import lightgbm as lgb  # a second; whoever imports this module for another reason does without

    rng = np.random.default_rng(seed)
    features = (scale * rng.standard_normal((rows, factors))).astype(np.float32)
    label = features[:, 0] / scale + 0.1 * rng.standard_normal(rows)
    params = {"verbosity": -1, "num_leaves": 7, "deterministic": True, "force_col_wise": True, "num_threads": 1}
    return str(lgb.train(params, lgb.Dataset(features, label), num_boost_round=5).model_to_string())


def tiny_manifest(factor_names: tuple[str, ...] = ("A", "B", "C", "D"), **changes: Any) -> Manifest:
    """Return a manifest over ``factor_names`` with ``changes`` laid over it."""
    base = Manifest(
        model_name="tiny",
        profile="simulated",
        simulated=True,
        factor_names=factor_names,
        factor_hash=FACTOR_HASH,
        label_hash="1" * 64,
        data_hash="d" * 64,
        config_hash="c" * 64,
        git_revision="a" * 40,
        first_session=date(2018, 1, 2),
        last_session=date(2025, 10, 31),
        params={"num_leaves": 7, "learning_rate": 0.1},
        rounds=5,
    )
    return replace(base, **changes)


def tiny_bundle(
    root: Path,
    key: Ed25519PrivateKey,
    model: Model | None = None,
    documents: Mapping[str, str] | None = None,
    **changes: Any,
) -> Path:
    """Write a signed bundle below ``root`` and return its directory."""
    manifest = tiny_manifest(**changes)
    if model is None:
        model = Model.of_booster(tiny_booster(factors=len(manifest.factor_names)))
    return write_bundle(root, manifest, model=model, card=CARD_TEXT, key=key, documents=documents)


def tiny_linear(*, factors: int = 4, seed: int = 0) -> str:
    """Return the text of a linear member with seeded coefficients."""
    coefficients = np.random.default_rng(seed).standard_normal(factors)
    return linear_text(np.zeros(factors), np.ones(factors), coefficients, intercept=0.1 * seed, clip=3.0)


def grouped_model(*, factors: int = 4, group: int = 7) -> Model:
    """Return a model of a blend for every row, a band about it, and a booster for the rows of one group."""
    members = (
        Member("all.txt", weight=0.5),
        Member("all.json", "linear", weight=0.5),
        Member("group-7.txt", group=group),
        Member("low.json", "linear", output="lower"),
        Member("high.json", "linear", output="upper"),
    )
    texts = {
        "all.txt": tiny_booster(factors=factors),
        "all.json": tiny_linear(factors=factors, seed=1),
        "group-7.txt": tiny_booster(factors=factors, seed=7),
        "low.json": tiny_linear(factors=factors, seed=2),
        "high.json": tiny_linear(factors=factors, seed=3),
    }
    return Model(members, texts, "industry")
