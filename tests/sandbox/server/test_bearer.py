from pathlib import Path

import pytest

from sandbox.server.bearer import TokenError, new_token, read_token


def test_tokens_differ_and_can_be_sent_in_a_header() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 43 and token.isascii() and token.isprintable() and " " not in token for token in tokens)


@pytest.mark.parametrize("content", [b"", b"short", b"with a space in it, long enough", b"\xff" * 40, b"a\n" * 30])
def test_what_is_no_token_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(TokenError, match=str(path)):
        read_token(path)
