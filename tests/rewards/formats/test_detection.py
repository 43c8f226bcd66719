from __future__ import annotations

import pytest

from rewards.formats.detection import FORMATS, Format, detect_format


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_with_all_fields_of_a_format_is_known_as_it(name: Format) -> None:
    required = [field for field, info in FORMATS[name].row.model_fields.items() if info.is_required()]
    assert detect_format(required) == name
    assert detect_format(list(FORMATS[name].row.model_fields)) == name


def test_other_fields_are_no_format() -> None:
    assert detect_format(["prompt", "completion"]) is None
