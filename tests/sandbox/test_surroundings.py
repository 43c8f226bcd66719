"""What a run is given besides its stdin is checked before any slot hears of it."""

import pytest

from sandbox import Level, Surroundings


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", ".", "..", "./a", "../a", "a/../b", "a\0b", "a" * 201, "a/" * 16 + "a"]
)
def test_a_name_that_is_no_path_below_the_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="path"):
        Surroundings(files={name: b""})
    with pytest.raises(ValueError, match="path"):
        Surroundings(fetch=(name,))


@pytest.mark.parametrize("name", ["a", "a b", "-rf", "...", "ä/é.txt", ".hidden", "a\nb", "a" * 200])
def test_any_other_name_is_taken(name: str) -> None:
    assert Surroundings(files={name: b""}, fetch=(name,)).fetch == (name,)


def test_a_file_below_a_file_is_refused() -> None:
    with pytest.raises(ValueError, match="'a' is a file"):
        Surroundings(files={"a/b/c": b"", "a": b""})


def test_too_much_is_refused() -> None:
    with pytest.raises(ValueError, match="files: 1001"):
        Surroundings(files={str(n): b"" for n in range(1001)})
    with pytest.raises(ValueError, match="fetch: 65"):
        Surroundings(fetch=tuple(map(str, range(65))))
    with pytest.raises(ValueError, match="arguments: 257"):
        Surroundings(arguments=("",) * 257)
    with pytest.raises(ValueError, match="65537 bytes"):
        Surroundings(arguments=("x" * 65537,))
    with pytest.raises(ValueError, match="null"):
        Surroundings(arguments=("\0",))


@pytest.mark.parametrize(
    ("language", "name"),
    [("python", "main.py"), ("c", "main"), ("cpp", "main.cpp"), ("java", "classes/A.class"), ("javascript", "main.js")],
)
def test_a_file_cannot_take_the_place_of_the_program(language: str, name: str) -> None:
    with pytest.raises(ValueError, match="program itself"):
        Surroundings(files={name: b""}).check(language, Level.USERNS)


def test_there_are_no_files_without_namespaces() -> None:
    Surroundings(arguments=("a",)).check("python", Level.LANDLOCK)
    for surroundings in (Surroundings(files={"a": b""}), Surroundings(fetch=("a",))):
        with pytest.raises(ValueError, match="landlock"):
            surroundings.check("python", Level.LANDLOCK)
