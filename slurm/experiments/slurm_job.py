"""What a submission's batch script runs: submitit, which takes a second to start and lets no SIGTERM through."""

from slurm.experiments.notices import keep


def main() -> None:
    """`python -m slurm.experiments.slurm_job SUBMISSION`: see `slurm.experiments.submitted_task`."""
    keep()
    from submitit.core.submission import submitit_main

    submitit_main()


if __name__ == "__main__":
    main()
