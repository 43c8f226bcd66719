"""The problem set of this project, one topic a file; `rewards.builtin` reads it."""
