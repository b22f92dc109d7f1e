#!/bin/sh
# select.bt shows the bucket of each datagram and SYN, and why it is not its own: the same as what instances received, while all
# are live, while one is dead, and without failover.
. "${0%/*}/lib/trace.sh"
need_daemons
# No package can add this to a running kernel: not a failure, even with CHECK_STRICT
[ -e /sys/bus/event_source/devices/kprobe ] || {
	echo "1..0 # SKIP this kernel has no kprobes; 'make check-kernels' runs it on those that have"
	exit 0
}
sandbox
need_tracing

# ---- what select.bt says ----

# said PORT REGEX: the lines of that port with such an outcome, counted: "exporter bucket lines"
said() {
	sed -nE "s/^[0-9:]+ (udp|tcp) (.*) to $1: wants -?[0-9]+, gets (-?[0-9]+), $2\$/\2 \3/p" "$tmp/all.out" | counted
}

# lines PORT N: whether there are at least N lines of that port
lines() {
	[ "$(grep -c " to $1: " "$tmp/all.out")" -ge "$2" ]
}

# datagrams FILE: how many its lines "exporter bucket datagrams" have
datagrams() {
	awk '{n += $3} END {print n}' "$1"
}

# sum OUTCOME PORT FILE
sum() {
	sed -nE "s/^@$1\[$2, [1-9][0-9]*\]: ([0-9]+)\$/\1/p" "$tmp/$3.out"
}

# ---- cases ----

start_instances() {
	config live 17900 2 "bmp_daemon: true\nbmp_daemon_port: 17901\nbmp_daemon_max_peers: 100"
	config off 17902 2 "reuseport_failover: false"
	start_all live 2
	start_and_wait off 0
}

show_datagrams() {
	send 17900
	ok "a line for each of 160 datagrams" await 10 lines 17900 160
	said 17900 own >"$tmp/own"
	is "all are for their own instance" "$(datagrams "$tmp/own")" 160
	sed -E 's/ [0-9]+$//' "$tmp/own" >"$tmp/owners"
}

# show_sessions: they meet the flows
show_sessions() {
	connect 17901 10
	ok "a line for each of 20 SYNs" await 10 lines 17901 20
	said 17901 own | cut -d' ' -f1,2 >"$tmp/sessions"
	is "all are for their own instance" "$(wc -l <"$tmp/sessions")" 20
	ok "which is that of their flows" [ -z "$(comm -23 "$tmp/sessions" "$tmp/owners")" ]
	disconnect
}

show_failover() {
	crash live 1
	send 17900
	ok "index 1 is dead: 160 lines more" await 10 lines 17900 320
	said 17900 'failover: empty' >"$tmp/failover"
	orphans >"$tmp/orphans"
	at_least "exporters of index 1" "$(wc -l <"$tmp/orphans")" 1
	ok "its exporters fail over to index 0 ($(wc -l <"$tmp/orphans")), because its bucket is empty" diff "$tmp/orphans" "$tmp/failover"
}

show_refusals() {
	send 17902
	ok "without failover, too, a line for each of 160" await 10 lines 17902 160
	said 17902 'refused: empty' >"$tmp/refused"
}

compare_with_what_arrived() {
	stop_all live off
	received live >"$tmp/received"
	sed -nE 's/^[0-9:]+ udp (.*) to 17900: wants [0-9]+, gets ([0-9]+), .*/\1 \2/p' "$tmp/all.out" | counted >"$tmp/gets"
	ok "instances received what the lines say" diff "$tmp/gets" "$tmp/received"
	received off | cut -d' ' -f1 >"$tmp/heard"
	at_least "without failover, exporters that are refused" "$(wc -l <"$tmp/refused")" 1
	is "all exporters without an instance are refused, because its bucket is empty" "$(wc -l <"$tmp/refused")" \
		$((40 - $(wc -l <"$tmp/heard")))
	ok "no instance received any of theirs" [ -z "$(cut -d' ' -f1 "$tmp/refused" | comm -12 - "$tmp/heard")" ]
	ok "without failover, the exporters of index 0 were received" [ -s "$tmp/heard" ]
}

show_sums() {
	traced all
	traced port
	is "the sum of own" "$(sum own 17900 all)" $((320 - $(datagrams "$tmp/failover")))
	is "the sum of failover" "$(sum failover 17900 all)" "$(datagrams "$tmp/failover")"
	is "the sum of refused" "$(sum refused 17902 all)" "$(datagrams "$tmp/refused")"
	is "with a port given, no line of another port" "$(grep -c ' to 1790[01]: ' "$tmp/port.out")" 0
	is "but all of that port" "$(grep -c ' to 17902: ' "$tmp/port.out")" 160
}

trace all 4 select.bt
trace port 4 select.bt 17902
start_instances
show_datagrams
show_sessions
show_failover
show_refusals
compare_with_what_arrived
show_sums
done_testing
