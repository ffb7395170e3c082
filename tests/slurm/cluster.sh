#!/usr/bin/env bash
# A real SLURM of one node on this machine, for tests: two partitions, fake GPUs (null devices), memory limits enforced.
#
#     tests/slurm/cluster.sh start [DIR]    configure, start, wait until the node is idle; at once when it runs already
#     tests/slurm/cluster.sh stop [DIR]     end the daemons that `start` began
#     tests/slurm/cluster.sh status [DIR]
#
# Needs root and the programs of Debian's slurm-wlm and munge. DIR (/tmp/cryosnake-slurm) holds configuration, state,
# logs and process numbers. A SLURM that this script did not start is never touched: it refuses.
set -euo pipefail

command=${1:-}
D=${2:-${CRYOSNAKE_SLURM_DIR:-/tmp/cryosnake-slurm}}
GPUS=2
export PATH=$PATH:/usr/sbin:/sbin

alive() { [[ -s $D/$1.pid ]] && kill -0 "$(<"$D/$1.pid")" 2>/dev/null; }

configure() {
    local host memory
    host=$(hostname -s)
    memory=$(awk '/^MemTotal:/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    mkdir -p "$D/state" "$D/spool"
    for ((i = 0; i < GPUS; i++)); do
        [[ -c $D/nvidia$i ]] || mknod -m 666 "$D/nvidia$i" c 1 3
    done
    cat >"$D/slurm.conf" <<CONF
# written by cryosnake's tests/slurm/cluster.sh
ClusterName=cryosnake
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${CRYOSNAKE_SLURM_PORT:-6817}
SlurmdPort=$((${CRYOSNAKE_SLURM_PORT:-6817} + 1))
AuthType=auth/munge
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool
SlurmctldPidFile=$D/slurmctld.pid
SlurmdPidFile=$D/slurmd.pid
SlurmctldLogFile=$D/slurmctld.log
SlurmdLogFile=$D/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=5
# tests ask for jobs that ended long ago
MinJobAge=7200
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# memory is watched every second: there are no control groups in a container
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,NoShared
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory Gres=gpu:$GPUS State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=1-00:00:00 State=UP
CONF
    echo "NodeName=$host Name=gpu File=$D/nvidia[0-$((GPUS - 1))]" >"$D/gres.conf"
    echo "CgroupAutomount=no" >"$D/cgroup.conf"
}

start_munge() {
    munge -n </dev/null 2>/dev/null | unmunge >/dev/null 2>&1 && return
    install -d -o munge -g munge -m 0755 /run/munge
    [[ -s /etc/munge/munge.key ]] || setpriv --reuid munge --regid munge --clear-groups mungekey --create
    setpriv --reuid munge --regid munge --clear-groups munged --force
    cp /run/munge/munged.pid "$D/munged.pid"
}

start() {
    if alive slurmctld && alive slurmd; then
        echo "SLURM of $D runs"
        return
    fi
    for program in munged slurmctld slurmd sbatch; do
        command -v $program >/dev/null || { echo "no $program here; Debian: apt-get install slurm-wlm munge" >&2; exit 2; }
    done
    [[ $EUID == 0 ]] || { echo "starting SLURM needs root" >&2; exit 2; }
    if [[ -e /etc/slurm/slurm.conf ]] && ! grep -q "cryosnake's tests" /etc/slurm/slurm.conf; then
        echo "/etc/slurm/slurm.conf is of another SLURM; it stays as it is" >&2
        exit 2
    fi
    configure
    mkdir -p /etc/slurm
    for name in slurm gres cgroup; do ln -sfn "$D/$name.conf" "/etc/slurm/$name.conf"; done
    start_munge
    alive slurmctld || slurmctld
    alive slurmd || slurmd
    for _ in {1..100}; do
        [[ $(sinfo -h -p cpu -o %T 2>/dev/null) == idle ]] && { echo "SLURM of $D: node $(hostname -s) is idle"; return; }
        sleep 0.2
    done
    echo "SLURM did not come up:" >&2
    tail -n 20 "$D"/slurmctld.log "$D"/slurmd.log >&2
    exit 1
}

stop() {
    if alive slurmctld; then
        scancel --quiet --partition=cpu,gpu --user="$(id -un)" || true
        for _ in {1..50}; do [[ -z $(squeue -h) ]] && break; sleep 0.2; done
    fi
    for daemon in slurmd slurmctld munged; do
        alive $daemon || continue
        pid=$(<"$D/$daemon.pid")
        kill "$pid"
        for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -0 "$pid" 2>/dev/null && kill -9 "$pid"
        rm -f "$D/$daemon.pid"
    done
    for name in slurm gres cgroup; do
        [[ $(readlink "/etc/slurm/$name.conf") == "$D/$name.conf" ]] && rm -f "/etc/slurm/$name.conf"
    done
    echo "SLURM of $D is stopped"
}

case $command in
    start) start ;;
    stop) stop ;;
    status) for daemon in munged slurmctld slurmd; do alive $daemon && echo "$daemon runs" || echo "no $daemon"; done ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
