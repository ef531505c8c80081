"""Kernels are cached under the source of what they call."""

from __future__ import annotations

from types import ModuleType

import pytest

from ljwx_pipeline.trading import compiled, costs


def cache_name(source: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(compiled.inspect, "getsource", lambda module: source)

    def add(a: int, b: int) -> int:
        return a + b

    return str(compiled.kernel(ModuleType("callee"))(add).py_func.__qualname__)


def test_another_source_of_the_called_module_is_another_cache_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = cache_name("fee = 1", monkeypatch), cache_name("fee = 1", monkeypatch)
    assert first == again
    assert first != cache_name("fee = 2", monkeypatch)


def test_a_compiled_kernel_computes_what_its_source_says() -> None:
    rates = costs.CostRates(25_000, 500, 20_000, 5_000_000, 0, 50_000, 1_000).as_array()
    assert costs.fees_kernel(10_000_000, False, rates) == costs.fees_kernel.py_func(10_000_000, False, rates)
