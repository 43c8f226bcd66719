"""Events as lines of a file."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from slurm.experiments.events import Ended, Event, Requeued, Started, Stopped, Submitted, append, read_events

TIMES = st.floats(0, 1e10)
EVENTS = st.one_of(
    st.builds(Submitted, time=TIMES, job=st.text(max_size=9), log=st.text(max_size=9)),
    st.builds(Started, time=TIMES, job=st.text(max_size=9), host=st.text(max_size=9), pid=st.integers(1, 2**22)),
    st.builds(Stopped, time=TIMES, why=st.sampled_from(["limit", "cancelled"])),
    st.builds(Requeued, time=TIMES),
    st.builds(Ended, time=TIMES, code=st.integers(-64, 255), problem=st.text(max_size=9), sizes=st.just({"o": 3})),
)


@given(st.lists(EVENTS, max_size=5))
def test_events_come_back_as_they_were_written(events: list[Event]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "events.jsonl")
        for event in events:
            append(path, event)
        assert read_events(path) == events


@given(st.lists(EVENTS, min_size=1, max_size=4), EVENTS, st.integers(1, 40))
def test_a_line_that_a_crash_has_cut_takes_no_other_with_it(events: list[Event], last: Event, cut: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "events.jsonl")
        for event in events:
            append(path, event)
        size = path.stat().st_size
        with path.open("rb+") as stream:
            stream.truncate(size - cut)
        left = read_events(path)
        append(path, last)
        assert read_events(path) == [*left, last]
        assert left == events[: len(left)]


def test_where_there_is_no_file_nothing_has_happened(tmp_path: Path) -> None:
    assert read_events(tmp_path / "events.jsonl") == []
