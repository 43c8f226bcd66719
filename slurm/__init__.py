"""One experiment over many Slurm jobs. It knows only commands: it imports nothing of the other packages."""
