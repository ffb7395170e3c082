#!/usr/bin/env bash
# A real Grid Engine of one node on this machine, for tests: queue all.q with two slots, parallel environment smp.
#
#     tests/sge/cluster.sh start [DIR]    configure and start it; at once when it runs already
#     tests/sge/cluster.sh stop [DIR]     end the daemons that `start` began
#     tests/sge/cluster.sh env [DIR]      shell commands after which qsub, qstat and qdel are those of this cluster
#
# Needs root and the programs of Debian's gridengine-master, gridengine-exec and gridengine-client; nothing of their own
# configuration is used or changed. DIR (/tmp/cryosnake-sge) holds configuration, state, logs and process numbers.
set -euo pipefail

command=${1:-}
D=${2:-${CRYOSNAKE_SGE_DIR:-/tmp/cryosnake-sge}}
PROGRAMS=/usr/lib/gridengine
SHARE=/usr/share/gridengine

environment() {
    echo "export SGE_ROOT=$D SGE_CELL=default SGE_QMASTER_PORT=16444 SGE_EXECD_PORT=16445 PATH=$PROGRAMS:\$PATH" \
        "LD_LIBRARY_PATH=$PROGRAMS\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
}

alive() { [[ -s $1 ]] && kill -0 "$(<"$1")" 2>/dev/null; }
master=$D/spool/qmaster/qmaster.pid

configure() {
    rm -rf "$D"
    mkdir -p "$D/default/common" "$D/spool/qmaster/job_scripts" "$D/spool/execd" "$D"/{bin,utilbin,lib}
    for folder in bin utilbin lib; do ln -s $PROGRAMS "$D/$folder/lx-amd64"; done
    ln -s $SHARE/util "$D/util"
    cat >"$D/default/common/bootstrap" <<CONF
admin_user              none
default_domain          none
ignore_fqdn             true
spooling_method         classic
spooling_lib            libspoolc
spooling_params         $D/default/common;$D/spool/qmaster
binary_path             $PROGRAMS
qmaster_spool_dir       $D/spool/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
jvm_threads             0
CONF
    echo localhost >"$D/default/common/act_qmaster"
    echo "localhost $(hostname) $(hostname -s)" >"$D/default/common/host_aliases"
    $PROGRAMS/spoolinit classic libspoolc "$D/default/common;$D/spool/qmaster" init
    sed "s#^execd_spool_dir.*#execd_spool_dir $D/spool/execd#; s#^min_\(.\)id.*#min_\1id 0#
         s#^load_report_time.*#load_report_time 00:00:05#" $SHARE/default-configuration >"$D/default/common/configuration"
    $PROGRAMS/spooldefaults.bin complexes $SHARE/util/resources/centry
    $PROGRAMS/spooldefaults.bin usersets $SHARE/util/resources/usersets
    $PROGRAMS/spooldefaults.bin managers "$(id -un)"
}

# What qconf adds, each as a text. A busy machine takes jobs too: its load is no matter here.
queue() {
    qconf -sq | sed 's/^qname .*/qname all.q/; s/^hostlist .*/hostlist localhost/; s/^slots .*/slots 2/
        s/^shell .*/shell \/bin\/bash/; s/^pe_list .*/pe_list smp/; s/^load_thresholds .*/load_thresholds NONE/'
}

environments() {
    printf '%s\n' "pe_name smp" "slots 999" "user_lists NONE" "xuser_lists NONE" "start_proc_args NONE" \
        "stop_proc_args NONE" 'allocation_rule $pe_slots' "control_slaves FALSE" "job_is_first_task TRUE" \
        "urgency_slots min" "accounting_summary FALSE" "qsort_args NONE"
}

start() {
    if alive "$master"; then
        echo "Grid Engine of $D runs"
        return
    fi
    for program in sge_qmaster sge_execd qsub spoolinit; do
        [[ -x $PROGRAMS/$program ]] || {
            echo "no $PROGRAMS/$program here; Debian: apt-get install gridengine-{master,exec,client}" >&2
            exit 2
        }
    done
    [[ $EUID == 0 ]] || { echo "starting Grid Engine needs root" >&2; exit 2; }
    eval "$(environment)"
    configure
    sge_qmaster
    for _ in {1..100}; do qconf -ss >/dev/null 2>&1 && break; sleep 0.2; done
    qconf -as localhost
    environments >"$D/smp.conf"
    qconf -Ap "$D/smp.conf"
    queue >"$D/queue.conf"
    sge_execd
    qconf -Aq "$D/queue.conf"
    for _ in {1..100}; do
        [[ $(qhost | awk '$1 == "localhost" {print $7}') =~ [0-9] ]] && { echo "Grid Engine of $D is up"; return; }
        sleep 0.2
    done
    echo "Grid Engine did not come up:" >&2
    tail -n 20 "$D/spool/qmaster/messages" "$D"/spool/execd/*/messages >&2
    exit 1
}

stop() {
    if alive "$master"; then
        eval "$(environment)"
        qdel -u \* >/dev/null 2>&1 || true
        sleep 1
    fi
    for file in "$D"/spool/execd/*/execd.pid "$master"; do
        alive "$file" || continue
        pid=$(<"$file")
        kill "$pid"
        for _ in {1..100}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -0 "$pid" 2>/dev/null && kill -9 "$pid"
        rm -f "$file"
    done
    echo "Grid Engine of $D is stopped"
}

case $command in
    start) start ;;
    stop) stop ;;
    env) environment ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
