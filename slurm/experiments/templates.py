"""The templates of a description, over its variables and a job's parameters."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from typing import TypeAlias

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from slurm.errors import DescriptionError
from slurm.experiments.description import Scalar

Parameters: TypeAlias = Mapping[str, Scalar]
Fill: TypeAlias = Callable[[str], str]
_RESERVED = ("env", "stage", "version")
_DEEPEST = 8
"""Variables that are made of others, those of others, and so on."""

_ERRORS = (TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Of templates: their filters and macros run."""


class Templates:
    """Of one experiment: each text is compiled once.

    Args:
        variables: of the description; texts among them may be templates themselves.
    """

    def __init__(self, variables: Mapping[str, object]) -> None:
        for name in _RESERVED:
            if name in variables:
                raise DescriptionError(f"variables.{name}: this name is taken")
        self._variables = variables
        self._environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, finalize=_not_null)
        self._environment.filters["quote"] = lambda value: shlex.quote(str(_not_null(value)))
        self._compiled: dict[str, Template] = {}
        self._env = dict(os.environ)

    def filler(self, stage: str, version: int, parameters: Parameters) -> Fill:
        """Fills in the texts of one job.

        Raises:
            DescriptionError: a parameter has the name of a variable, or a variable cannot be filled in. The result
                raises it where a text cannot.
        """
        for name in parameters:
            if name in self._variables or name in _RESERVED:
                raise DescriptionError(f"stages.{stage}.grid.{name}: a variable has this name, or it is taken")
        given = {"env": self._env, "stage": stage, "version": version}
        values: dict[str, object] = {**given, **self._variables, **parameters}

        def fill(text: str) -> str:
            try:
                return self._template(text).render(values)
            except _ERRORS as error:
                lacking = [name for name in re.findall(r"\benv\.(\w+)", text) if name not in self._env]
                said = f"{lacking[0]} is not set in the environment: export it" if lacking else str(error)
                raise DescriptionError(f"stages.{stage}: {text!r} cannot be filled in: {said}") from None

        for _ in range(_DEEPEST):
            open_ = {name: value for name, value in values.items() if isinstance(value, str) and "{{" in value}
            if not open_:
                return fill
            values |= {name: fill(value) for name, value in open_.items()}
        raise DescriptionError(f"variables.{next(iter(open_))}: it is made of itself")

    def _template(self, text: str) -> Template:
        if text not in self._compiled:
            self._compiled[text] = self._environment.from_string(text)
        return self._compiled[text]


def _not_null(value: object) -> object:
    """Jinja's word for null is None, which nobody means as a folder's name."""
    if value is None:
        raise ValueError('null has no text; give the variable a value, or ""')
    return value
