# Instances of the patched daemons in a sandbox, and objects made from a changed selector.
#
# What an instance NAME-INDEX has, all in $tmp: NAME.conf, which the group shares; NAME-INDEX.log, .csv and .pid.
# shellcheck shell=sh disable=SC2034,SC2154
: "${root:=$(cd "${0%/*}/.." && pwd)}"
. "$root/tests/lib/tap.sh"

# ---- objects ----

# selector: the source, with the part that is in a file of its own
selector() {
	sed -e "/^#include \"reuseport_failover.h\"/{r $root/bpf/reuseport_failover.h" -e 'd;}' "$root/bpf/reuseport.bpf.c"
}

# variant NAME SED-SCRIPT: an object compiled from a changed selector; prints its path. VARIANTS: a directory that keeps them
variant() {
	local made
	made=${VARIANTS:-$tmp}/$({ echo "$2" && selector; } | cksum | cut -d' ' -f1)
	if [ ! -f "$made/$1.o" ]; then
		mkdir -p "$made"
		selector | sed "$2" >"$made/$1.bpf.c"
		selector | cmp -s - "$made/$1.bpf.c" && die "variant $1 changes nothing"
		make -s -C "$root" "$made/$1.o"
	fi
	echo "$made/$1.o"
}

# foreign_object: one without the maps that are our own, and with the section name of others; prints its path
foreign_object() {
	variant foreign 's,SEC("sk_reuseport"),SEC("sk_reuseport/selector"),
		s/&slots,/\&slots2,/; s/^} slots/} slots2/; s/^} weights/} weights2/
		s/(policy)/(policy2)/; s/&policy,/\&policy2,/; s/&overrides/\&overrides2/; s/^} overrides/} overrides2/
		s/&quarantine,/\&quarantine2,/; s/^} quarantine/} quarantine2/; s/^} instances/} instances2/
		s/^} group SEC/} group2 SEC/; s/^} exporter_state/} told/; s/^} state_changes/} told_changes/
		s/^} owners/} owners2/; s/&counters/\&counters2/; s/^} counters/} counters2/
		s/^#include "reuseport_talkers.h"/#define talkers talkers2\n&/'
}

# list_left: prints what the demo or the lab might leave behind on this machine: pin paths, namespaces, links. Not what others make meanwhile.
list_left() {
	find /sys/fs/bpf /run/netns -mindepth 1 -maxdepth 1 \( -name demo -o -name router -o -name 'h[0-9]' -o -name 'r[0-9]*' \) 2>/dev/null | sort
	ip -o link | grep -oE ' (br0|router|h[0-9]|r[0-9]+)[@:]' || true
}

# ---- starting ----

# need_daemons: skips the test if they are not built
need_daemons() {
	need_root
	[ -x "$nfacctd" ] && [ -x "$pmbmpd" ] && [ -f "$object" ] || skip_all "not built: run make build"
}

# config NAME PORT COUNT [LINE...]: writes $tmp/NAME.conf for a group of nfacctd that shares PORT; its output goes to
# $tmp/NAME-INDEX.csv, packets by exporter. LINEs are further keys, \n between them; later ones win. Who reads it meanwhile gets the old one.
config() {
	local name="$1" conf="$tmp/$1.conf.new"
	cat >"$conf" <<-EOF
		nfacctd_port: $2
		nfacctd_pipe_size: 4000000
		plugins: print[p]
		aggregate[p]: peer_src_ip
		print_output[p]: csv
		print_output_file_append[p]: true
		print_refresh_time[p]: 600
		print_cache_entries[p]: 509
		reuseport_hashbucket_count: $3
		reuseport_bpf_prog: $object
		reuseport_pin_path: $bpffs/$1
	EOF
	shift 3
	# of two such keys, upstream takes the first
	case " $*" in *[!a-z_]plugins:*) sed -i '/^plugins:/d' "$conf" ;; esac
	printf '%b\n' "$@" >>"$conf"
	mv "$conf" "$(readlink -f "$tmp/$name.conf")"
}

# run_daemon NAME INDEX COMMAND...: runs it in the background; its log is $tmp/NAME-INDEX.log, its pid in $tmp/NAME-INDEX.pid
run_daemon() {
	local instance="$1-$2"
	shift 2
	# Else a former instance's lines could be taken for this one's. >>: one that is taken over writes to the same file, and would overwrite it
	: >"$tmp/$instance.log"
	"$@" >>"$tmp/$instance.log" 2>&1 &
	echo $! >"$tmp/$instance.pid"
}

# start NAME INDEX [ARGUMENT...]: one nfacctd of config NAME in the background
start() {
	local name="$1" index="$2"
	shift 2
	run_daemon "$name" "$index" "$nfacctd" -f "$tmp/$name.conf" -x "$index" -o "$tmp/$name-$index.csv" "$@"
}

# start_and_wait NAME INDEX [ARGUMENT...]: the same, until it reads
start_and_wait() {
	start "$@"
	await 20 is_up "$1" "$2" || die "index $2 of $1 does not start"
}

# start_all NAME COUNT: all instances, and waits until they read
start_all() {
	local i
	for i in $(seq 0 $(($2 - 1))); do start "$1" "$i"; done
	for i in $(seq 0 $(($2 - 1))); do
		await 20 is_up "$1" "$i" || die "index $i of $1 does not start"
	done
}

# is_up NAME INDEX: whether it has joined and reads
is_up() {
	grep -qs 'listener nfacctd joined' "$tmp/$1-$2.log" && reads "$1" "$2"
}

# reads NAME INDEX: whether it reads its port, and its print plugin sleeps until there is something to read: what upstream's
# core hands to a plugin that is still starting waits for the next datagram, or is lost at the end
reads() {
	local line pid child children
	for line in 'waiting for NetFlow/IPFIX data' 'cache entries='; do
		grep -qs "$line" "$tmp/$1-$2.log" || return 1
	done
	pid=$(pid_of "$1" "$2")
	# it has no newline at its end
	read -r children <"/proc/$pid/task/$pid/children" || [ -n "$children" ] || return 1
	for child in $children; do
		grep -qs '^State:.S' "/proc/$child/status" || return 1
	done
}

# pid_of NAME INDEX
pid_of() {
	local pid
	read -r pid <"$tmp/$1-$2.pid" && echo "$pid"
}

# ---- stopping ----

# stopped SIGNAL PID: ends the process; succeeds if it exits with 0
stopped() {
	kill -"$1" "$2" && exits_with_0 "$2"
}

# stop_all NAME...: stops the instances when their queues are empty, and waits until they have written all
stop_all() {
	local name p
	: >"$tmp/pids"
	for name in "$@"; do
		await 20 queues_empty "$(sed -n 's/^nfacctd_port: //p' "$tmp/$name.conf")" || true
		cat "$tmp/$name"-*.pid >>"$tmp/pids"
	done
	while read -r p; do kill -INT "$p" 2>/dev/null || true; done <"$tmp/pids"
	while read -r p; do wait "$p" 2>/dev/null || true; done <"$tmp/pids"
	for name in "$@"; do rm "$tmp/$name"-*.pid; done
}

# crash NAME INDEX: SIGKILL for its core; and a little later SIGINT for its plugin, which would otherwise throw away what
# it was handed already. When that was, in nanoseconds, is in $killed_at.
crash() {
	local victim children child
	victim=$(pid_of "$1" "$2")
	children=$(pgrep -P "$victim" || true)
	kill -KILL "$victim"
	killed_at=$(date +%s%N)
	wait "$victim" 2>/dev/null || true
	sleep 0.2
	for child in $children; do
		kill -INT "$child" 2>/dev/null || true
		await 10 gone "$child" || die "plugin $child does not end"
	done
	rm "$tmp/$1-$2.pid"
}

# ---- what instances have, and what they received ----

# peers PORT PID: the addresses that have a TCP session with that process at its port
peers() {
	ss -Htnp state established sport = :"$1" | grep "pid=$2," | awk '{sub(/:[0-9]+$/, "", $4); gsub(/\[|\]|::ffff:/, "", $4); print $4}'
}

# queues_empty PORT: whether every socket bound to a UDP port has been read empty
queues_empty() {
	! cat /proc/net/udp /proc/net/udp6 | awk -v port="$(printf ':%04X' "$1")" \
		'substr($2, length($2) - 4) == port && $5 !~ /:00000000$/ {found = 1} END {exit !found}'
}

# received NAME: what the instances of NAME wrote, a line "exporter index packets" for each exporter and instance
received() {
	local csv i
	for csv in "$tmp/$1"-*.csv; do
		i=${csv##*-}
		awk -F, -v i="${i%.csv}" '$1 != "PEER_SRC_IP" {sum[$1] += $2} END {for (e in sum) print e, i, sum[e]}' "$csv"
	done | sort
}

# total_received: packets in $tmp/received, which has what received printed
total_received() {
	awk '{n += $3} END {print n + 0}' "$tmp/received"
}

# count_places: of $tmp/received, how many exporters there are, how many places (an exporter at an instance), and how many instances
count_places() {
	awk '{exporters[$1]; places[$1, $2]; instances[$2]}
		END {
			for (i in exporters) e++
			for (i in places) p++
			for (i in instances) n++
			print e + 0 " exporters, " p + 0 " places, " n + 0 " instances"
		}' "$tmp/received"
}
