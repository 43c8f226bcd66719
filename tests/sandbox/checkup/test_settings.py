import os
from pathlib import Path

import pytest

from sandbox.checkup.settings import user_namespace_settings


def settings(folder: Path, **values: str) -> Path:
    for name, value in values.items():
        path = folder / ("user" if name == "max_user_namespaces" else "kernel") / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(value + "\n")
    return folder


def test_user_namespaces_forbidden_to_all_are_told_with_the_setting(tmp_path: Path) -> None:
    (check,) = user_namespace_settings(settings(tmp_path, max_user_namespaces="0"))
    assert (check.ok, check.required) == (False, True)
    assert "sysctl user.max_user_namespaces=15000" in check.remedy


@pytest.mark.parametrize(
    ("name", "forbidding"), [("unprivileged_userns_clone", "0"), ("apparmor_restrict_unprivileged_userns", "1")]
)
def test_user_namespaces_forbidden_to_users_are_told_to_users(tmp_path: Path, name: str, forbidding: str) -> None:
    (check,) = user_namespace_settings(settings(tmp_path, **{name: forbidding}))
    assert check.ok is (os.geteuid() == 0)
    assert bool(check.remedy) != check.ok


def test_settings_that_forbid_nothing_or_are_not_there_are_no_gap(tmp_path: Path) -> None:
    assert user_namespace_settings(tmp_path) == []
    allowed = settings(tmp_path, max_user_namespaces="9000", unprivileged_userns_clone="1")
    assert all(check.ok for check in user_namespace_settings(allowed))
