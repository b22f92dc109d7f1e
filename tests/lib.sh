# What the tests share; sourced first. TAP on stdout.
# shellcheck shell=sh disable=SC2034
set -eu
# scripts/ci/* set it before
root=${root:-$(cd "$(dirname "$0")/.." && pwd)}
. "$root/scripts/lib/common.sh"
. "$root/scripts/lib/releases.sh"
. "$root/scripts/lib/patches.sh"
. "$root/scripts/lib/sandbox.sh"
. "$root/scripts/lib/wait.sh"

tree=$root/build/pmacct-${RELEASE:-$base}
pristine=$root/build/pristine-${RELEASE:-$base}
nfacctd=$tree/src/nfacctd
pmbmpd=$tree/src/pmbmpd
object=$root/bpf/reuseport.o
# TOOLS: a directory with other builds of ours
tools=${TOOLS:-$root/tests/bin}
reuseportctl=${TOOLS:-$root/reuseportctl}/reuseportctl
count=0
failed=0

# ok NAME COMMAND...: one assertion: the command succeeds
ok() {
	count=$((count + 1))
	assertion=$1
	shift
	if "$@"; then
		echo "ok $count - $assertion"
	else
		failed=$((failed + 1))
		echo "not ok $count - $assertion"
		diag "failed: $*"
	fi
}

# not COMMAND...: for ok: the command fails
not() {
	if "$@"; then return 1; fi
}

# quietly COMMAND...: for ok: its output is shown only if it fails
quietly() {
	"$@" >"$tmp/quietly" 2>&1 || {
		diag "$(cat "$tmp/quietly")"
		return 1
	}
}

# is NAME GOT WANTED
is() {
	if [ "$2" = "$3" ]; then
		ok "$1" true
	else
		ok "$1" false
		diag "     got: $2"
		diag "  wanted: $3"
	fi
}

# like NAME TEXT REGEX: the text has a line that matches
like() {
	if printf '%s\n' "$2" | grep -qE -- "$3"; then
		ok "$1" true
	else
		ok "$1" false
		diag "     got: $2"
		diag "  wanted: /$3/"
	fi
}

# diag TEXT: shown whatever happens, for figures and for what went wrong
diag() {
	printf '%s\n' "$*" | sed 's/^/# /' >&2
}

# program REGEX COMMAND...: a test in C; those of its assertions that match are shown whatever happens, for their figures
program() {
	shown=$1 status=0
	shift
	"$@" >"$tmp/program" || status=$?
	cat "$tmp/program"
	sed -n "s/^ok [0-9]* - \(.*$shown.*\)/# \1/p" "$tmp/program" >&2
	exit "$status"
}

# skip_all REASON: the whole test, unless it is to be strict
skip_all() {
	if [ -n "${CHECK_STRICT:-}" ]; then
		echo "1..1"
		echo "not ok 1 - needed, since CHECK_STRICT is set: $*"
		exit 1
	fi
	echo "1..0 # SKIP $*"
	exit 0
}

# need COMMAND...: or skip
need() {
	for c in "$@"; do
		command -v "$c" >/dev/null || skip_all "no $c"
	done
}

# need_root: or skip
need_root() {
	[ "$(id -u)" -eq 0 ] || skip_all "must be run as root: network namespaces, BPF"
}

# done_testing: the last line of every test
done_testing() {
	echo "1..$count"
	[ "$failed" -eq 0 ]
}

# ---- in a sandbox ----

# variant NAME SED-SCRIPT: an object compiled from a changed selector; prints its path. VARIANTS: a directory that keeps them
variant() {
	made=${VARIANTS:-$tmp}/$(echo "$2" | cat - "$root/bpf/reuseport.bpf.c" | cksum | cut -d' ' -f1)
	if [ ! -f "$made/$1.o" ]; then
		mkdir -p "$made"
		sed "$2" "$root/bpf/reuseport.bpf.c" >"$made/$1.bpf.c"
		cmp -s "$root/bpf/reuseport.bpf.c" "$made/$1.bpf.c" && die "variant $1 changes nothing"
		make -s -C "$root" "$made/$1.o"
	fi
	echo "$made/$1.o"
}

# foreign_object: one without the maps that are our own, and with the section name of others; prints its path
foreign_object() {
	variant foreign 's,SEC("sk_reuseport"),SEC("sk_reuseport/selector"),
		s/(policy)/(policy2)/; s/&policy,/\&policy2,/; s/&overrides/\&overrides2/; s/^} overrides/} overrides2/
		s/^} owners/} owners2/; s/&counters/\&counters2/; s/^} counters/} counters2/'
}

# ---- daemons, in a sandbox ----

# need_daemons: or skip
need_daemons() {
	need_root
	[ -x "$nfacctd" ] && [ -x "$pmbmpd" ] && [ -f "$object" ] || skip_all "not built: run make build"
}

# config NAME PORT COUNT [LINE...]: writes $tmp/NAME.conf for a group of nfacctd that shares PORT; its output goes to
# $tmp/NAME-INDEX.csv, packets by exporter. LINEs are further keys, \n between them; later ones win.
config() {
	conf=$tmp/$1.conf
	cat >"$conf" <<-EOF
		nfacctd_port: $2
		nfacctd_pipe_size: 4000000
		plugins: print[p]
		aggregate[p]: peer_src_ip
		print_output[p]: csv
		print_output_file_append[p]: true
		print_refresh_time[p]: 600
		reuseport_hashbucket_count: $3
		reuseport_bpf_prog: $object
		reuseport_pin_path: $bpffs/$1
	EOF
	shift 3
	printf '%b\n' "$@" >>"$conf"
}

# start NAME INDEX [ARGUMENT...]: one instance of config NAME in the background, log in $tmp/NAME-INDEX.log, pid in
# $tmp/NAME-INDEX.pid
start() {
	name=$1 index=$2
	shift 2
	# or what a former one said may be read
	: >"$tmp/$name-$index.log"
	"$nfacctd" -f "$tmp/$name.conf" -x "$index" -o "$tmp/$name-$index.csv" "$@" >"$tmp/$name-$index.log" 2>&1 &
	echo $! >"$tmp/$name-$index.pid"
}

# start_and_wait NAME INDEX [ARGUMENT...]: until it reads
start_and_wait() {
	start "$@"
	wait_for 20 is_up "$1" "$2" || die "index $2 of $1 does not start: $(cat "$tmp/$1-$2.log")"
}

# stopped SIGNAL PID: ends it; succeeds if it exits with 0
stopped() {
	kill -"$1" "$2" && wait "$2"
}

# is_up NAME INDEX: whether it has joined and reads
is_up() {
	grep -qs 'listener nfacctd joined' "$tmp/$1-$2.log" && reads "$1" "$2"
}

# reads NAME INDEX: whether it reads its port, and its print plugin sleeps until there is something to read: what upstream's
# core hands to a plugin that is still starting waits for the next datagram, or is lost at the end
reads() {
	for line in 'waiting for NetFlow/IPFIX data' 'cache entries='; do
		grep -qs "$line" "$tmp/$1-$2.log" || return 1
	done
	for child in $(pgrep -P "$(pid_of "$1" "$2")"); do
		grep -qs '^State:.S' "/proc/$child/status" || return 1
	done
}

# start_all NAME COUNT: all instances, and waits until they read
start_all() {
	for i in $(seq 0 $(($2 - 1))); do start "$1" "$i"; done
	for i in $(seq 0 $(($2 - 1))); do
		wait_for 20 is_up "$1" "$i" || { cat "$tmp/$1-$i.log" >&2 && die "instance $i of $1 does not start"; }
	done
}

# pid_of NAME INDEX
pid_of() {
	cat "$tmp/$1-$2.pid"
}

# gone PID: whether it has ended
gone() {
	! grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"
}

# peers PORT PID: the addresses that have a TCP session with that process at its port
peers() {
	ss -Htnp state established sport = :"$1" | grep "pid=$2," | awk '{sub(/:[0-9]+$/, "", $4); gsub(/\[|\]|::ffff:/, "", $4); print $4}'
}

# queues_empty PORT: whether every socket bound to a UDP port has been read empty
queues_empty() {
	! cat /proc/net/udp /proc/net/udp6 | awk -v port="$(printf ':%04X' "$1")" \
		'substr($2, length($2) - 4) == port && $5 !~ /:00000000$/ {found = 1} END {exit !found}'
}

# stop_all NAME...: when their queues are empty, and waits until they have written all
stop_all() {
	for stopping in "$@"; do
		wait_for 20 queues_empty "$(sed -n 's/^nfacctd_port: //p' "$tmp/$stopping.conf")" || diag "$stopping: queue not empty"
		cat "$tmp/$stopping"-*.pid
	done >"$tmp/pids"
	while read -r p; do kill -INT "$p" 2>/dev/null || true; done <"$tmp/pids"
	while read -r p; do wait "$p" 2>/dev/null || true; done <"$tmp/pids"
	for stopping in "$@"; do rm "$tmp/$stopping"-*.pid; done
}

# received NAME: what the instances of NAME wrote, a line "exporter index packets" for each exporter and instance
received() {
	for csv in "$tmp/$1"-*.csv; do
		i=${csv##*-}
		awk -F, -v i="${i%.csv}" '$1 != "PEER_SRC_IP" {sum[$1] += $2} END {for (e in sum) print e, i, sum[e]}' "$csv"
	done | sort
}

# ---- traffic in the background, and what became of it ----

# The columns that these need: LINEs for config. A restart must not overwrite what was written before.
by_slot="aggregate[p]: peer_src_ip, dst_port\nprint_output_file_append[p]: true"

# traffic PROTOCOL PORT [KEY=VALUE...]: 200 exporters, IPv4 and IPv6, send 20,000 datagrams a second until traffic_ends
traffic() {
	sending=$1 to=$2
	shift 2
	for family in 4 6; do
		"$tools/exporter" "$sending" $family "$to" exporters=100 datagrams=0 rate=10000 \
			report="$tmp/$family.report" "$@" >/dev/null &
		echo $! >>"$tmp/senders"
	done
}

# traffic_ends: and $tmp/sent has what was sent: lines "exporter slot flows protocol"
traffic_ends() {
	while read -r p; do kill "$p" && wait "$p"; done <"$tmp/senders"
	rm "$tmp/senders"
	sent "$tmp"/[46].report
}

# sent REPORT...: what exporters say they sent, in $tmp/sent
sent() {
	cat "$@" | awk '{print $1, $3, $4, $2}' >"$tmp/sent"
}

# received_by_slot NAME: what instances wrote, lines "exporter slot flows index"
received_by_slot() {
	for csv in "$tmp/$1"-*.csv; do
		i=${csv##*-}
		awk -F, -v i="${i%.csv}" '$1 != "PEER_SRC_IP" {sum[$1 " " $2] += $3}
			END {for (e in sum) print e, sum[e], i}' "$csv"
	done
}

# missing NAME: of $tmp/sent, what no instance of NAME wrote, lines "exporter slot flows protocol"; negative: too much
missing() {
	received_by_slot "$1" | not_in
}

# not_in: the same, of what is on stdin
not_in() {
	awk 'arrived {got[$1 " " $2] += $3; next}
		{lost = $3 - got[$1 " " $2]; delete got[$1 " " $2]; if (lost) print $1, $2, lost, $4}
		END {for (e in got) print e, -got[e], "never sent"}' arrived=1 - arrived=0 "$tmp/sent"
}

# nothing_lost NAME: the assertion, for each protocol, with its figures
nothing_lost() {
	missing "$1" >"$tmp/missing"
	cut -d' ' -f4 "$tmp/sent" | sort -u >"$tmp/protocols"
	while read -r protocol; do
		sent=$(awk -v p="$protocol" '$4 == p {n += $3} END {print n}' "$tmp/sent")
		lost=$(awk -v p="$protocol" '$4 == p && $3 > 0 {n += $3} END {print n + 0}' "$tmp/missing")
		is "$protocol: of $sent flows sent, lost" "$lost" 0
		diag "$protocol: $sent flows sent, $lost lost"
	done <"$tmp/protocols"
	[ ! -s "$tmp/missing" ] || diag "exporter, slot, flows, protocol: $(head -n 20 "$tmp/missing")"
	counted_once
}

# counted_once: the assertion. Upstream's ring can make a plugin read the last record twice, when the core wakes it in the
# very moment in which it wakes by itself: seen once in 4,000,000 flows, with more to do than the machine had cores for.
counted_once() {
	twice=$(awk '$3 < 0 {n -= $3} END {print n + 0}' "$tmp/missing")
	ok "counted twice: $twice, by upstream's ring, at most 2" [ "$twice" -le 2 ]
}

# ms_since NANOSECONDS: how long ago that was
ms_since() {
	echo $((($(date +%s%N) - $1) / 1000000))
}

# crash NAME INDEX: SIGKILL for its core; and a little later SIGINT for its plugin, which would otherwise throw away what
# it was handed already
crash() {
	victim=$(pid_of "$1" "$2")
	children=$(pgrep -P "$victim" || true)
	kill -KILL "$victim"
	wait "$victim" 2>/dev/null || true
	sleep 0.2
	for child in $children; do
		kill -INT "$child" 2>/dev/null || true
		wait_for 10 gone "$child" || die "plugin $child does not end"
	done
	rm "$tmp/$1-$2.pid"
}

# watch_queues: from now on, the kernel counts the datagrams that are thrown away with the socket that had queued them
watch_queues() {
	mkdir -p "$tmp/tracing"
	mount -t tracefs tracefs "$tmp/tracing" 2>/dev/null || skip_all "no tracefs: the kernel's counts cannot be had"
	grep -q 'location=%pS' "$tmp/tracing/events/skb/kfree_skb/format" ||
		skip_all "this kernel's trace does not name the function that threw a datagram away: the kernel's counts cannot be had"
	tracing=$tmp/tracing/instances/reuseport-$(cat /proc/sys/kernel/random/uuid)
	mkdir "$tracing"
	echo 16384 >"$tracing/buffer_size_kb"
	echo 'protocol == 0x800 || protocol == 0x86dd' >"$tracing/events/skb/kfree_skb/filter"
	echo 1 >"$tracing/events/skb/kfree_skb/enable"
}

# queues_lost: how many that were
queues_lost() {
	grep -cE 'location=(udp_destruct_common|inet_sock_destruct|skb_queue_purge)' "$tracing/trace" || true
	echo 0 >"$tracing/events/skb/kfree_skb/enable"
	rmdir "$tracing"
}

# ---- bpftrace/*.bt ----

# need_tracing: or skip
need_tracing() {
	need bpftrace bpftool
	[ -e /sys/kernel/btf/vmlinux ] || skip_all "this kernel has no BTF"
	mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || skip_all "no tracefs"
}

# trace NAME PROBES SCRIPT [ARGUMENT...]: runs a script, until traced; waits until it has attached so many probes. Its output
# goes to $tmp/NAME.out.
trace() {
	tracer=$1 probes=$2 script=$3
	shift 3
	# bpftrace 0.17 does not find it by itself before Linux 5.11
	BPFTRACE_BTF=/sys/kernel/btf/vmlinux bpftrace -B line "$root/bpftrace/$script" "$@" >"$tmp/$tracer.out" 2>"$tmp/$tracer.err" &
	echo $! >"$tmp/$tracer.tracer"
	wait_for 60 attached "$tracer" "$probes" || die "$script does not start: $(cat "$tmp/$tracer.err" "$tmp/$tracer.out")"
}

# attached NAME PROBES
attached() {
	[ "$(bpftool perf show 2>/dev/null | grep -c "^pid $(cat "$tmp/$1.tracer") ")" -ge "$2" ]
}

# traced NAME: ends it; its sums are in its output then
traced() {
	stopped TERM "$(cat "$tmp/$1.tracer")"
}

# host_pid PID: what a process of the sandbox is called outside of it
host_pid() {
	unshare --mount sh -c 'umount /proc && grep -Hs "^NSpid:.*[[:space:]]'"$1"'$" /proc/[0-9]*/status' |
		while IFS=/: read -r _ _ p _; do
			# another sandbox may have the same number
			[ "$(unshare --mount sh -c "umount /proc && readlink /proc/$p/ns/pid")" != "$(readlink /proc/self/ns/pid)" ] || echo "$p"
		done
}
