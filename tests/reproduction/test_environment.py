"""Interpreter and packages beside a run, compared before it is made again."""

from __future__ import annotations

import lightgbm

from ljwx_pipeline.reproduction.environment import environment, environment_differences


def test_the_packages_that_compute_are_stated() -> None:
    assert environment()["packages"]["lightgbm"] == lightgbm.__version__


def test_another_version_a_lost_and_a_new_package_are_each_a_sentence() -> None:
    was = {"python": "3.11.1", "machine": "x86_64", "packages": {"numpy": "2.3", "xgboost": "3.0", "scipy": "1"}}
    now = {"python": "3.11.1", "machine": "x86_64", "packages": {"numpy": "2.4", "pandas": "2.3", "scipy": "1"}}
    assert environment_differences(was, now) == [
        "numpy 2.3 then, 2.4 now",
        "pandas absent then, 2.3 now",
        "xgboost 3.0 then, absent now",
    ]
    assert environment_differences(was, was) == []
