"""Experiments that come with the package, for `qrpo-experiment`; see docs/experiments.md."""
