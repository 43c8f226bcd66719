import dataclasses
import math

import pytest

from sandbox import Limits

NAMES = [field.name for field in dataclasses.fields(Limits)]


def test_the_defaults_are_valid_and_cannot_be_changed() -> None:
    limits = Limits()
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.cpu_s = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_a_limit_must_be_positive(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"Limits\.{name} is {value}"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_must_be_finite(name: str) -> None:
    with pytest.raises(ValueError, match=rf"Limits\.{name} is inf"):
        Limits(**{name: math.inf})


def test_an_interpreter_needs_memory() -> None:
    Limits(memory_bytes=32 << 20)
    with pytest.raises(ValueError, match="memory_bytes"):
        Limits(memory_bytes=(32 << 20) - 1)


def test_limits_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        Limits(1.0)  # type: ignore[misc]


def test_seconds_are_numbers() -> None:
    with pytest.raises(ValueError, match=r"Limits\.cpu_s is '2'; it must be"):
        Limits(cpu_s="2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Limits\.idle_s is None; it must be"):
        Limits(idle_s=None)  # type: ignore[arg-type]
