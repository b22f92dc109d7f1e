#!/bin/sh
# Tracing without kprobes: arrays.bt shows which instances join, leave, take over and die, tcpstates.bt the states of sessions, and
# the debug object its decisions. All are compared with what real instances did.
. "${0%/*}/lib/trace.sh"
debug_object=$root/bpf/reuseport-debug.o
need_daemons
[ -f "$debug_object" ] || skip_all "not built: run make debug"
sandbox
need_tracing

# ---- what the scripts and the debug object say ----

# map_id PIN
map_id() {
	bpftool -j map show pinned "$1" | grep -oE '"id":[0-9]+' | cut -d: -f2
}

# said WORD INDEX: whether arrays.bt has printed it of both listeners of the instance that has this index now
said() {
	local line
	for line in "$1 $udp udp_balancing_t bucket $2" "$1 $tcp tcp_balancing_t bucket $2"; do
		grep -qE "^[0-9:]+ $line by $(cat "$tmp/host-$2") nfacctd" "$tmp/arrays.out" || return 1
	done
}

# note INDEX: keeps its pid as the host sees it, in $tmp/host-INDEX, while it is alive
note() {
	host_pid "$(pid_of live "$1")" >"$tmp/host-$1"
}

# printed: takes what the debug object has printed since the last call into $tmp/printed
printed() {
	cp "$buffer/trace" "$tmp/printed"
	echo >"$buffer/trace"
}

# decided OUTCOME: the decisions in it with that outcome, lines "exporter bucket datagrams"
decided() {
	sed -n "s/.*reuseport: udp \(.*\): wants [0-9]*, gets \(-*[0-9]*\), $1\$/\1 \2/p" "$tmp/printed" | short | counted
}

# short: filters IPv6 addresses into their usual form. Those of the test are 2001:db8::N.
short() {
	sed -E 's/^2001:0db8(:0000){5}:0*/2001:db8::/'
}

# state FROM TO: prints how many connections made that change
state() {
	grep -cE "^[0-9:]+ tcp \[?(10\.0\.0\.|2001:db8::)[0-9a-f]+\]?:[0-9]+ to 17901: $1 > $2 after [0-9]+ ms$" "$tmp/states.out"
}

# states FROM TO: whether all connections made that change
states() {
	[ "$(state "$1" "$2")" -eq 10 ]
}

# ---- cases ----

# trace_by_debug_object: its lines, in a buffer of their own
trace_by_debug_object() {
	buffer=/sys/kernel/tracing/instances/reuseport-$(cat /proc/sys/kernel/random/uuid)
	mkdir "$buffer"
	echo 1 >"$buffer/events/bpf_trace/bpf_trace_printk/enable"
}

# start_instances: their maps are $udp and $tcp
start_instances() {
	local i
	config live 2100 2 "bmp_daemon: true\nbmp_daemon_port: 17901\nbmp_daemon_max_peers: 100\nreuseport_takeover: true" \
		"reuseport_bpf_prog: $debug_object"
	start_all live 2
	udp=$(map_id "$bpffs/live/nfacctd/udp_balancing_targets")
	tcp=$(map_id "$bpffs/live/bmp/tcp_balancing_targets")
	for i in 0 1; do
		note $i
		ok "index $i joins, with its pid and name" await 5 said join $i
	done
}

show_decisions() {
	send 2100
	printed
	decided own >"$tmp/own"
	is "the debug object names each exporter of 40" "$(wc -l <"$tmp/own")" 40
}

show_sessions() {
	connect 17901 5
	ok "10 sessions, 5 of them IPv4, are established" await 10 states SYN_RECV ESTABLISHED
	is "5 of them by their IPv4 addresses" "$(grep -c ' 10\.0\.0\.[0-9]*:[0-9]* .*> ESTABLISHED' "$tmp/states.out")" 5
	disconnect
	ok "the routers end or reset them" await 10 states ESTABLISHED '(CLOSE_WAIT|CLOSE)'
	ok "and all are closed" await 10 states '(LAST_ACK|CLOSE_WAIT|ESTABLISHED)' CLOSE
	is "two listeners came up" "$(grep -c 'tcp \[::\]:0 to 17901: CLOSE > LISTEN' "$tmp/states.out")" 2
}

take_over() {
	local old
	old=$(pid_of live 0)
	start_and_wait live 0
	note 0
	ok "a new instance at index 0 takes over, with its pid and name" await 5 said takeover 0
	wait "$old"
}

# die_and_fail_over: index 1 does, and its exporters fail over
die_and_fail_over() {
	crash live 1
	ok "index 1 dies, with its pid and name" await 5 said death 1
	send 2100
	printed
	decided failover >"$tmp/failover"
	decided own >"$tmp/stayed"
	orphans >"$tmp/orphans"
	ok "the debug object has failover to index 0 for exactly the exporters of index 1 ($(wc -l <"$tmp/orphans"))" \
		diff "$tmp/orphans" "$tmp/failover"
	ok "which are some, and not all" [ "$(wc -l <"$tmp/orphans")" -gt 0 -a "$(wc -l <"$tmp/orphans")" -lt 40 ]
}

leave() {
	stop_all live
	ok "index 0 leaves, with its pid and name" await 5 said leave 0
}

compare_with_what_arrived() {
	sort "$tmp/own" "$tmp/stayed" "$tmp/failover" | awk '{sum[$1 " " $2] += $3} END {for (e in sum) print e, sum[e]}' | sort >"$tmp/said"
	received live >"$tmp/received"
	ok "each exporter's datagrams came where the debug object said" diff "$tmp/said" "$tmp/received"
}

refuse_without_failover() {
	config off 2100 2 "reuseport_failover: false" "reuseport_bpf_prog: $debug_object"
	start_and_wait off 0
	send 2100
	printed
	decided refused >"$tmp/refused"
	stop_all off
	received off | awk '{print $1}' | sort >"$tmp/heard"
	at_least "without failover, exporters that are refused" "$(wc -l <"$tmp/refused")" 1
	is "without failover, it names the refused exporters" "$(wc -l <"$tmp/refused")" $((40 - $(wc -l <"$tmp/heard")))
	ok "no instance received any of theirs" [ -z "$(cut -d' ' -f1 "$tmp/refused" | sort | comm -12 - "$tmp/heard")" ]
	ok "without failover, the exporters of index 0 were received" [ -s "$tmp/heard" ]
}

stop_tracing() {
	traced arrays
	traced states
	is "none died but index 1" "$(grep -E " death ($udp|$tcp) " "$tmp/arrays.out" | grep -vc " bucket 1 by $(cat "$tmp/host-1") ")" 0
	rmdir "$buffer"
}

# need_perfmon: the debug object does, beside CAP_BPF
need_perfmon() {
	local denied=0
	setpriv --bounding-set -all,+bpf "$nfacctd" -f "$tmp/off.conf" -x 0 >"$tmp/denied" 2>&1 || denied=$?
	like "with CAP_BPF alone it is refused: $denied" "$denied $(grep ERROR "$tmp/denied")" \
		"^1 ERROR: .*/reuseport-debug.o is a debug build, which takes CAP_PERFMON beside CAP_BPF: give the daemon both, or use reuseport.o"
	setpriv --bounding-set -all,+bpf,+perfmon "$nfacctd" -f "$tmp/off.conf" -x 0 -o "$tmp/off-0.csv" >"$tmp/off-0.log" 2>&1 &
	echo $! >"$tmp/off-0.pid"
	ok "with CAP_BPF and CAP_PERFMON it runs" await 20 is_up off 0
	stop_all off
}

trace arrays 3 arrays.bt
trace states 1 tcpstates.bt 17901
trace_by_debug_object
start_instances
show_decisions
show_sessions
take_over
die_and_fail_over
leave
compare_with_what_arrived
refuse_without_failover
stop_tracing
need_perfmon
done_testing
