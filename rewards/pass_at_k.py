"""pass@k: the chance that at least one of k samples solves a problem. Source: arXiv 2107.03374, section 2.1."""

from __future__ import annotations


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of pass@k from `correct` among `samples`, in [0, 1].

    It is 1 - C(n - c, k) / C(n, k), computed as 1 - prod_{i = n - c + 1}^{n} (1 - k / i): no factor exceeds 1, so
    nothing overflows. Estimating 1 - (1 - c / n)^k instead is biased.

    Raises:
        ValueError: not 0 <= correct <= samples, or not 1 <= k <= samples.
    """
    if not 0 <= correct <= samples:
        raise ValueError(f"{correct} correct of {samples} samples; correct must be from 0 to the number of samples")
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} cannot be estimated from {samples} samples; k must be from 1 to their number")
    all_wrong = 1.0
    for i in range(samples - correct + 1, samples + 1):
        all_wrong *= max(0.0, 1.0 - k / i)
    return 1.0 - all_wrong
