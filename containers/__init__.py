"""Places to run in: each a root file system and a way to start Python in it. Imports nothing else of ours."""
