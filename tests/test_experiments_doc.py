"""What docs/experiments.md says is all there is."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from slurm.experiments.description import Description, Limits, Output, Resources, Stage, Stopping
from slurm.experiments.description_file import load
from slurm.experiments.expansion import tasks_of
from slurm.experiments.state import Cause, Kind

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "experiments.md").read_text()


def first_cells(heading: str) -> str:
    """Of the table with this heading, first cells."""
    lines = TEXT[TEXT.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    return "\n".join(line.split("|")[1] for line in lines)


@pytest.mark.parametrize(
    ("heading", "model", "elsewhere"),
    [
        ("key", Description, {"limits", "stages"}),
        ("key of a stage", Stage, set()),
        ("key of an output", Output, set()),
        ("key of resources", Resources, set()),
    ],
)
def test_every_key_is_in_its_table(heading: str, model: type[BaseModel], elsewhere: set[str]) -> None:
    named = set(re.findall(r"`([a-z_]+)`", first_cells(heading)))
    assert named == model.model_fields.keys() - elsewhere


@pytest.mark.parametrize(("prefix", "model"), [("limits", Limits), ("stopping", Stopping)])
def test_keys_without_a_table_are_in_the_text(prefix: str, model: type[BaseModel]) -> None:
    named = set(re.findall(rf"`{prefix}\.([a-z]+)`", TEXT))
    assert named == model.model_fields.keys()


def test_every_state_and_every_cause_is_explained() -> None:
    assert set(re.findall(r"`([^`]+)`", first_cells("state"))) == set(Kind)
    causes = [name.strip() for name in re.split(r"[\n,]", first_cells("cause"))]
    assert set(causes) == set(Cause)


def test_the_first_example_is_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch")
    path = tmp_path / "grid.yaml"
    path.write_text(re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)[0])
    assert yaml.safe_load(path.read_text())["name"] == "grid"
    tasks = tasks_of(load(path), tmp_path)
    assert len(tasks) == 12
    assert all(len(task.needs) == 8 for task in tasks if task.stage == "train")


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).exists()


@pytest.mark.parametrize("anchor", re.findall(r"\(#([^)]+)\)", TEXT))
def test_a_link_within_the_page_leads_to_a_heading(anchor: str) -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("#")
    }
    assert anchor in headings
