#!/bin/sh
# Stands in for sbatch, squeue, scancel and srun, by the name it is called by. What it is called with goes to
# $STANDIN/calls, a line each; what squeue answers lies in $STANDIN/queue. Where there is a file $STANDIN/refuse-NAME the
# command says what is in it and fails, once; $STANDIN/refuse-NAME-always: every time.
set -eu
name=${0##*/}
printf '%s' "$name" >>"$STANDIN/calls"
for argument; do printf ' [%s]' "$argument" | tr '\n\t' '~|' >>"$STANDIN/calls"; done
echo >>"$STANDIN/calls"

if [ -f "$STANDIN/refuse-$name-always" ]; then cat "$STANDIN/refuse-$name-always" >&2; exit 1; fi
if [ -f "$STANDIN/refuse-$name" ]; then cat "$STANDIN/refuse-$name" >&2; rm "$STANDIN/refuse-$name"; exit 1; fi

case $name in
sbatch)
    env | sed -n 's/^\(S\(LURM\|BATCH\)[A-Z_]*\)=.*/\1/p' >"$STANDIN/environment"
    cp "$1" "$STANDIN/script"
    echo "Submitted batch job 7"
    last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\)%.*/\1/p' "$1")
    if [ -z "$last" ]; then
        printf '7\tPENDING\t\t0:00\t4:00:00\tPriority\n' >>"$STANDIN/queue"
    else
        for index in $(seq 0 "$last"); do printf '7_%s\tPENDING\t\t0:00\t4:00:00\tPriority\n' "$index"; done >>"$STANDIN/queue"
    fi
    ;;
squeue) [ -n "${SQUEUE_PARTITION-}" ] || cat "$STANDIN/queue" ;;
scancel)
    case $* in *[0-9]*) ;; *) echo "scancel: error: No job identification provided" >&2; exit 1 ;; esac
    for argument; do
        case $argument in -*) continue ;; esac
        sed -i "s/^$argument\t[A-Z]*/$argument\tCANCELLED/" "$STANDIN/queue"
    done
    ;;
esac
