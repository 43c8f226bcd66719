"""The command's first moment."""

import sys
from importlib.abc import MetaPathFinder
from typing import Any

import pytest

from slurm.experiments.__main__ import main


class Interruption(MetaPathFinder):
    """Ctrl-C while a module is looked for."""

    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname == "slurm.experiments.cli":
            raise KeyboardInterrupt


def test_an_interrupt_while_the_command_is_loaded_is_told_in_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "slurm.experiments.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interruption(), *sys.meta_path])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
