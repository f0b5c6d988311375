#!/usr/bin/env bash
# Bring up a real Slurm of one node on loopback: munged, slurmctld, slurmd; partitions `cpu` and `gpu`, one stand-in GPU.
#
# It needs neither systemd nor accounting. `--install` first installs the packages of Debian or Ubuntu. If this very
# cluster is up already, it keeps running. down.sh takes it down. Everything lives in SLURM_TEST_DIR (/tmp/slurm-test).
set -euo pipefail
dir=${SLURM_TEST_DIR:-/tmp/slurm-test}
port=${SLURM_TEST_PORT:-16817}
host=$(hostname -s)
export PATH=$PATH:/usr/sbin:/sbin SLURM_CONF=$dir/etc/slurm.conf

die() {
    echo "slurm: $*" >&2
    tail -n 15 "$dir"/log/*.log >&2 2>/dev/null || true
    exit 1
}
wait_for() { # seconds, what, command...
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt "$end" ] || die "$what does not come up"
        sleep 0.1
    done
}
alive() { # a daemon of this cluster runs
    local pid
    pid=$(cat "$dir/run/$1.pid" 2>/dev/null) && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]
}
munge_answers() { munge -n -S "$dir/run/munge.socket" | unmunge -S "$dir/run/munge.socket"; }
controller_answers() { timeout 10 scontrol ping | grep -q UP; }
node_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))"); }
node_usable() {
    case $(timeout 10 sinfo -h -N -p cpu -o %T | head -n 1) in
        idle | mixed | allocated | completing) ;;
        *)
            scontrol update nodename="$host" state=resume || true
            return 1
            ;;
    esac
}

[ "$(id -u)" = 0 ] || die "only root can start it"
missing=()
for needed in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client; do
    command -v "${needed%:*}" >/dev/null || missing+=("${needed#*:}")
done
mkdir -p "$dir"/{etc,run,log,state,spool}
if [ ${#missing[@]} -gt 0 ]; then
    [ "${1:-}" = --install ] || die "no ${missing[*]} here: tests/slurm/up.sh --install installs Debian's packages"
    # Otherwise packages start their services.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    install() { DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"; }
    { install || { apt-get update -qq && install; }; } >"$dir/log/apt.log" 2>&1 || die "cannot install ${missing[*]}"
fi

if [ -e /etc/slurm/slurm.conf ] && [ "$(readlink /etc/slurm/slurm.conf)" != "$SLURM_CONF" ]; then
    die "there is a Slurm here already (/etc/slurm/slurm.conf)"
fi
if alive munged && alive slurmctld && alive slurmd && munge_answers && controller_answers && node_answers; then
    wait_for 60 "an idle node" node_usable
    exit 0
fi >/dev/null 2>&1
"$(dirname "$0")/down.sh"

# All that slurmd needs of a GPU is a character device.
[ -c "$dir/run/gpu0" ] || mknod "$dir/run/gpu0" c 1 3
echo "NodeName=$host Name=gpu Type=standin File=$dir/run/gpu0" >"$dir/etc/gres.conf"
cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until its old credential has expired.
AuthInfo=socket=$dir/run/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
# No cgroups: memory is sampled from /proc, and a job over its request is killed.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill,UsePss
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
# Requests that can never be met are refused, not queued forever.
EnforcePartLimits=ALL
ReturnToService=2
KillWait=10
MinJobAge=3600
PropagateResourceLimits=NONE
GresTypes=gpu
# One processor more than the machine has: a test's job only sleeps.
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(($(nproc) + 1)) RealMemory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo) Gres=gpu:standin:1 State=UNKNOWN
PartitionName=cpu Nodes=$host Default=YES DefaultTime=60 MaxTime=7-0 State=UP
PartitionName=gpu Nodes=$host Default=NO DefaultTime=60 MaxTime=7-0 State=UP
CONF
# Processes that Snakemake's inner job step starts have lost SLURM_CONF, and look here.
mkdir -p /etc/slurm
ln -sfn "$SLURM_CONF" /etc/slurm/slurm.conf

head -c 128 /dev/urandom >"$dir/etc/munge.key"
chmod 600 "$dir/etc/munge.key"
munged --key-file="$dir/etc/munge.key" --socket="$dir/run/munge.socket" --pid-file="$dir/run/munged.pid" \
    --log-file="$dir/log/munged.log" --seed-file="$dir/run/munged.seed" || die "munged does not start"
wait_for 10 munged munge_answers
slurmctld -c -f "$SLURM_CONF" </dev/null >"$dir/log/slurmctld.out.log" 2>&1 || die "slurmctld does not start"
wait_for 30 slurmctld controller_answers
slurmd -f "$SLURM_CONF" </dev/null >"$dir/log/slurmd.out.log" 2>&1 || die "slurmd does not start"
wait_for 20 slurmd node_answers
wait_for 60 "an idle node" node_usable
