from collections.abc import Sequence
from pathlib import Path

import pytest

from containers.choice import RuntimeName
from containers.installation import ApptainerInstallation, EnrootInstallation
from sandbox.checkup.check import Check
from sandbox.checkup.runtimes import Tools, judged, look_at_runtimes

ENROOT = EnrootInstallation(command="/usr/bin/enroot", version="3.5.0")


def apptainer(starter: Path | None = None, **settings: str) -> ApptainerInstallation:
    return ApptainerInstallation(
        command="/usr/bin/apptainer",
        product="Apptainer",
        version="1.4.5",
        starter=starter,
        configuration=Path("/etc/apptainer/apptainer.conf"),
        settings={name.replace("_", " "): value for name, value in settings.items()},
    )


def tools(
    found: ApptainerInstallation | None, enroot: EnrootInstallation | None = None, *, unsquashfs: bool = True
) -> Tools:
    return Tools(apptainer=found, enroot=enroot, unsquashfs=unsquashfs, fuse=False, fusermount=None)


def by_name(checks: Sequence[Check]) -> dict[str, Check]:
    assert all(bool(check.remedy) != check.ok for check in checks)
    return {check.name: check for check in checks}


def test_a_site_with_apptainer_lacks_nothing_for_want_of_setuid_fuse_or_enroot() -> None:
    checks = by_name(judged(tools(apptainer()), None, needs_one=True))
    assert all(check.ok for check in checks.values())
    assert checks["apptainer"].detail == "/usr/bin/apptainer: Apptainer 1.4.5"
    assert "by user namespaces" in checks["apptainer mode"].detail


def test_the_mode_is_setuid_only_where_its_configuration_allows_it() -> None:
    starter = Path("/usr/libexec/apptainer/bin/starter-suid")
    setuid = by_name(judged(tools(apptainer(starter)), None, needs_one=False))["apptainer mode"]
    assert setuid.detail.startswith(f"setuid ({starter})")
    off = by_name(judged(tools(apptainer(starter, allow_setuid="no")), None, needs_one=False))["apptainer mode"]
    assert "`allow setuid = no`" in off.detail


@pytest.mark.parametrize("needs_one", [True, False])
def test_without_any_runtime_one_is_asked_for_and_required_only_for_an_image(*, needs_one: bool) -> None:
    check = by_name(judged(tools(None), None, needs_one=needs_one))["apptainer"]
    assert (check.ok, check.required) == (False, needs_one)
    assert "module load apptainer" in check.remedy


def test_where_there_is_enroot_apptainer_is_not_asked_for_unless_it_was_named() -> None:
    assert by_name(judged(tools(None, ENROOT), None, needs_one=False))["apptainer"].ok
    named = by_name(judged(tools(None, ENROOT), RuntimeName.APPTAINER, needs_one=True))["apptainer"]
    assert (named.ok, named.required) == (False, True)


def test_enroot_is_required_where_it_was_named() -> None:
    check = by_name(judged(tools(apptainer()), RuntimeName.ENROOT, needs_one=True))["enroot"]
    assert (check.ok, check.required) == (False, True)
    assert by_name(judged(tools(None, ENROOT), RuntimeName.ENROOT, needs_one=True))["enroot"].ok


@pytest.mark.parametrize("setting", ["allow_user_ns", "allow_container_dir", "user_bind_control"])
def test_what_an_administrator_has_switched_off_is_told_with_its_file(setting: str) -> None:
    check = by_name(judged(tools(apptainer(**{setting: "no"})), None, needs_one=True))[setting.replace("_", " ")]
    assert (check.ok, check.required) == (False, True)
    assert check.remedy.startswith(f"`{setting.replace('_', ' ')} = yes` in /etc/apptainer/apptainer.conf: ")
    of_enroot = judged(tools(apptainer(**{setting: "no"}), ENROOT), RuntimeName.ENROOT, needs_one=True)
    assert not any(check.required and not check.ok for check in of_enroot)


def test_squashfs_tools_are_asked_for_by_their_package() -> None:
    check = by_name(judged(tools(apptainer(), unsquashfs=False), None, needs_one=False))["unsquashfs"]
    assert "squashfs-tools" in check.remedy


def test_this_machine_can_be_looked_at() -> None:
    assert {"apptainer", "enroot", "unsquashfs", "fuse"} <= by_name(look_at_runtimes(None, needs_one=False)).keys()


@pytest.mark.parametrize(
    ("wanted", "required"), [(None, True), (RuntimeName.APPTAINER, True), (RuntimeName.ENROOT, False)]
)
def test_what_is_switched_off_is_required_where_apptainer_would_run_the_image(
    wanted: RuntimeName | None, required: bool
) -> None:
    switched = by_name(judged(tools(apptainer(allow_user_ns="no"), ENROOT), wanted, needs_one=True))["allow user ns"]
    assert (switched.ok, switched.required) == (False, required)


@pytest.mark.parametrize("wanted", [RuntimeName.APPTAINER, RuntimeName.ENROOT])
def test_apptainer_is_required_unless_another_is_to_run_the_image(wanted: RuntimeName) -> None:
    check = by_name(judged(tools(None, ENROOT), wanted, needs_one=True))["apptainer"]
    assert (check.ok, check.required) == (False, wanted is RuntimeName.APPTAINER)
