"""What this machine enforces: each guard tried (`doctor`), and a corpus of programs run against it (`selftest`)."""
