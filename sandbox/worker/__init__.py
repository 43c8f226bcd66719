"""The program that runs inside the container: broker, zygote, supervisor, candidate, judge.

Stdlib only and Python >= 3.8, because it runs under the Python of whatever image it is put in.

    main        the slot: its namespaces and root file system, then the broker
    broker      one per slot; takes requests, forks the judges
    judge       holds the tests and expected values; decides
    zygote      a warm interpreter that never sees task data; clones a supervisor per run
    supervisor  PID 1 of a run: mounts, limits, measures, kills, reports
    candidate   the guards on the program's own process, then the program
"""
