"""The folder that programs work in, run after run in one slot."""

from pathlib import Path

from sandbox import Sandbox, Verdict

COUNT = "print(sum(line.split()[4] == '/tmp' for line in open('/proc/self/mountinfo')))"
LEAVE = {
    "nothing": "pass",
    "a small file": "open('a', 'w').write('x' * 100)",
    "a large file": "open('a', 'w').write('x' * 1000000)",
    "many empty files": "for n in range(3000): open(str(n), 'w').close()",
}


def counts_after(leave: str, box: Sandbox, runs: int) -> list[int]:
    counts = []
    for _ in range(runs):
        assert box.run(leave).verdict is Verdict.AC
        counts.append(int(box.run(COUNT).stdout))
    return counts


def test_file_systems_are_unmounted_after_a_while() -> None:
    with Sandbox(workers=1) as box:
        counts = counts_after(LEAVE["a small file"], box, 100)
    assert max(counts) <= 64 < len(counts)
    assert counts.count(min(counts)) > 1


def test_how_many_there_are_does_not_tell_what_programs_left() -> None:
    found = set()
    for leave in LEAVE.values():
        with Sandbox(workers=1) as box:
            found.add(tuple(counts_after(leave, box, 5)))
    assert len(found) == 1


def test_nothing_of_a_run_is_seen_by_the_next() -> None:
    look = "import os\ns = os.stat('.')\nprint(os.listdir('.'), oct(s.st_mode), s.st_nlink, os.stat('main.py').st_ino)"
    leave = "import os\nos.mkdir('d')\nos.chmod('.', 0o700)\nos.symlink('a', 'b')"
    with Sandbox(workers=1) as box:
        before = box.run(look).stdout
        assert box.run(leave).verdict is Verdict.AC
        assert box.run(look).stdout == before


def test_inodes_are_memory_of_the_program() -> None:
    code = "for n in range(16000): open(str(n), 'w').close()"
    with Sandbox(workers=1) as box:
        empty, many = box.run("pass"), box.run(code)
    assert many.peak_memory_bytes - empty.peak_memory_bytes > 8 << 20


def shared_bytes() -> int:
    """Files in memory, of the whole machine."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Shmem:")) * 1024


def test_what_a_large_folder_held_is_gone_with_its_run() -> None:
    with Sandbox(workers=1) as box:
        before = shared_bytes()
        for _ in range(4):
            assert box.run("open('a', 'wb').write(bytes(200 << 20))").verdict is Verdict.AC
        box.run("pass")
        assert shared_bytes() - before < 400 << 20
