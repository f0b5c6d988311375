#!/usr/bin/env bash
# Take down what up.sh started, and nothing else: its jobs, then its daemons, by their pid files.
set -uo pipefail
dir=${SLURM_TEST_DIR:-/tmp/slurm-test}
export PATH=$PATH:/usr/sbin:/sbin SLURM_CONF=$dir/etc/slurm.conf

pid_of() { # the pid of a daemon of this cluster, if it runs
    local pid
    pid=$(cat "$dir/run/$1.pid" 2>/dev/null) && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] && echo "$pid"
}
if pid_of slurmctld >/dev/null && pid_of slurmd >/dev/null && pid_of munged >/dev/null; then
    timeout 10 scancel --quiet --user="$(id -un)"
    for _ in $(seq 100); do # no job may outlive slurmd
        [ -z "$(timeout 5 squeue -h -o %i)" ] && break
        sleep 0.1
    done
fi 2>/dev/null
for daemon in slurmd slurmctld munged; do
    if pid=$(pid_of $daemon); then
        kill -TERM "$pid"
        for _ in $(seq 150); do
            [ -d "/proc/$pid" ] || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null
    fi
    rm -f "$dir/run/$daemon.pid"
done
rm -rf "$dir"/state/* "$dir"/spool/*
# Otherwise each start of Snakemake would wait for this controller.
[ "$(readlink /etc/slurm/slurm.conf)" = "$SLURM_CONF" ] && rm -f /etc/slurm/slurm.conf
exit 0
