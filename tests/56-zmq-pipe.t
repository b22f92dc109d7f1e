#!/bin/sh
# plugin_pipe_zmq: true. Nothing is lost on the way through the pipe between core and plugin: neither when an instance starts, nor when
# it restarts or is replaced, nor when its plugin has much to read when it stops.
. "${0%/*}/lib/traffic.sh"
need_traffic
"$nfacctd" -V 2>/dev/null | grep -q '^ZeroMQ' || skip_all "nfacctd was built without --enable-zmq"
sandbox

pipe="plugin_pipe_zmq: true"

# begin_traffic PORT: 200 exporters, 2,000 datagrams a second
begin_traffic() {
	local family
	for family in 4 6; do start_sender traffic mixed $family "$1" exporters=100 rate=1000 period=1000; done
}

# joined NAME INDEX: whether it is in its bucket, and has something queued before it reads
joined() {
	has_line "$tmp/$1-$2.log" 'listener nfacctd joined'
}

# ---- print ----

# restart CYCLE
restart() {
	local i=$(($1 % 2))
	ok "restart $1: index $i exits with 0" stopped INT "$(pid_of live $i)"
	start_and_wait live $i
}

# take_over ROUND
take_over() {
	local i=$(($1 % 2)) old
	old=$(pid_of live $i)
	start_and_wait live $i
	ok "takeover $1: the old index $i exits with 0" exits_with_0 "$old"
}

restart_and_replace() {
	local n
	config live 2100 2 "$by_period" "$pipe" "reuseport_takeover: true"
	start live 0
	await 20 joined live 0 || die "index 0 does not join"
	begin_traffic 2100
	await 20 is_up live 0 || die "index 0 does not read"
	start_and_wait live 1
	for n in 1 2 3 4; do restart $n; done
	for n in 1 2 3 4; do take_over $n; done
	stop_traffic
	stop_all live
	nothing_lost live
	ok "no plugin misses data" not grep -h 'Missing data' "$tmp"/live-?.log
}

# ---- a plugin that is behind ----

# stop_while_behind: the plugin reads nothing before its core is told to stop, nor for 4 s after that
stop_while_behind() {
	local core plugin
	config behind 2110 1 "$pipe"
	start_and_wait behind 0
	core=$(pid_of behind 0)
	plugin=$(pgrep -P "$core")
	kill -STOP "$plugin"
	"$tools/exporter" netflow5 4 2110 exporters=100 ports=1 datagrams=50 rate=5000 >"$tmp/behind.sent"
	await 20 queues_empty 2110
	kill -INT "$core"
	sleep 4
	ok "the core waits for a plugin that is behind" not gone "$core"
	kill -CONT "$plugin"
	ok "then it exits with 0" exits_with_0 "$core"
	received behind >"$tmp/received"
	is "flows sent while it was behind" "$(cat "$tmp/behind.sent")" 5000
	is "of these, it has written" "$(total_received)" 5000
}

# ---- memory ----

in_memory() {
	"$tree/src/pmacct" -s -p "$tmp/memory" -O csv 2>/dev/null | awk -F, '$1 != "PEER_SRC_IP" {n += $2} END {print n + 0}'
}

all_in_memory() {
	[ "$(in_memory)" -eq 5000 ]
}

keep_in_memory() {
	config kept 2120 1 "$pipe" "plugins: memory[m]" "aggregate[m]: peer_src_ip" "imt_path[m]: $tmp/memory"
	run_daemon kept 0 "$nfacctd" -f "$tmp/kept.conf" -x 0
	await 20 joined kept 0 || die "it does not join"
	"$tools/exporter" netflow5 4 2120 exporters=100 ports=1 datagrams=50 rate=5000 >"$tmp/kept.sent"
	is "flows sent to one with the memory plugin, from its start on" "$(cat "$tmp/kept.sent")" 5000
	ok "it has all of them" await 20 all_in_memory
	is "and none twice" "$(in_memory)" 5000
	ok "it exits with 0" stopped INT "$(pid_of kept 0)"
	ok "its plugin misses no data" not grep 'Missing data' "$tmp/kept-0.log"
}

# ---- tee ----

hand_on() {
	config sink 2200 1
	start_and_wait sink 0
	echo "id=1 ip=127.0.0.1:2200" >"$tmp/receivers"
	config tee 2130 1 "$pipe" "plugins: tee[t]" "tee_receivers[t]: $tmp/receivers"
	run_daemon tee 0 "$nfacctd" -f "$tmp/tee.conf" -x 0
	await 20 joined tee 0 || die "it does not join"
	"$tools/exporter" netflow5 4 2130 exporters=100 ports=1 datagrams=50 rate=5000 >"$tmp/tee.sent"
	is "datagrams sent to one with the tee plugin, from its start on" "$(cat "$tmp/tee.sent")" 5000
	await 20 queues_empty 2130
	ok "it exits with 0" stopped INT "$(pid_of tee 0)"
	rm "$tmp/tee-0.pid"
	stop_all sink
	received sink >"$tmp/received"
	is "it has handed on all of them" "$(total_received)" 5000
}

restart_and_replace
stop_while_behind
keep_in_memory
hand_on
done_testing
