"""What completions take of the memory."""

from qrpo.records import Completion


def test_tokens_that_are_read_share_their_numbers() -> None:
    """A number of its own for each takes 40 bytes, and the paper's references have 10^8 tokens."""
    line = '{"text": "", "token_ids": [100000, 7, 100000], "finish_reason": "stop"}'
    first, second = (Completion.model_validate_json(line).token_ids for _ in range(2))
    assert first == second == (100000, 7, 100000)
    assert first[0] is first[2] is second[0]
