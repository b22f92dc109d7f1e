#!/bin/sh
# Connections that wait to be accepted when their listener ends are not reset: the kernel hands them to a live one.
. "${0%/*}/lib/traffic.sh"
need_traffic
need jq
# 5.10's later versions have the sysctl, and migrate nothing
[ "$(printf '5.14\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 5.14 ] || skip_all "Linux before 5.14 migrates no connections: they are reset"
sandbox

# start_instance INDEX: a pmbmpd, until it has joined
start_instance() {
	printf '%s\n' "bmp_daemon_port: 1790" "bmp_daemon_max_peers: 100" "bmp_daemon_msglog_file: $tmp/bmp-$1.json" \
		"reuseport_hashbucket_count: 2" "reuseport_bpf_prog: $object" "reuseport_pin_path: $bpffs/bmp" >"$tmp/bmp-$1.conf"
	run_daemon bmp "$1" "$pmbmpd" -f "$tmp/bmp-$1.conf" -x "$1"
	await 10 has_line "$tmp/bmp-$1.log" joined || die "index $1 does not start"
}

# begun INDEX: how many sessions that instance has seen
begun() {
	jq -r 'select(.bmp_msg_type == "init") | .bmp_router' "$tmp/bmp-$1.json" 2>/dev/null | wc -l
}

# have INDEX N
have() {
	[ "$(begun "$1")" -ge "$2" ]
}

# waiting: how many connections no instance has accepted yet
waiting() {
	ss -Hltn 'sport = 1790' | awk '{n += $2} END {print n}'
}

# migrate_on_kill: both instances are held, so that all connections wait
migrate_on_kill() {
	local i
	for i in 0 1; do kill -STOP "$(pid_of bmp $i)"; done
	start_routers all bmp 1790 20
	ok "40 routers connect" await 10 routers_are_up all
	is "40 connections wait, in two queues" "$(waiting)" 40
	is "queues that have some" "$(ss -Hltn 'sport = 1790' | awk '$2 > 0' | wc -l)" 2
	kill -KILL "$(pid_of bmp 0)"
	wait "$(pid_of bmp 0)" 2>/dev/null || true
	is "a listener is killed: all wait at the other" "$(waiting)" 40
	kill -CONT "$(pid_of bmp 1)"
	ok "the other accepts and reads them" await 10 have 1 40
	is "sessions that it has seen, no more and no less" "$(begun 1)" 40
	start_instance 0
	stop_routers all
	is "of the routers' sessions ended meanwhile" "$ended" 0
}

# migrate_on_stop: what a stopping instance has not accepted goes to the other, what it has accepted ends
migrate_on_stop() {
	local held before
	kill -STOP "$(pid_of bmp 0)"
	start_routers some bmp 1790 40 6
	ok "40 more routers connect" await 10 routers_are_up some
	held=$(waiting) before=$(begun 1)
	at_least "connections wait at the held instance" "$held" 1
	kill -TERM "$(pid_of bmp 0)"
	kill -CONT "$(pid_of bmp 0)"
	ok "it stops with $held connections that it has not accepted" exits_with_0 "$(pid_of bmp 0)"
	ok "all of them go to the other" await 10 have 1 $((before + held))
	stop_routers some
	ok "$ended sessions ended: at most one, accepted at the last moment" [ "$ended" -le 1 ]
	ok "the other exits with 0" stopped INT "$(pid_of bmp 1)"
}

start_instance 0
start_instance 1
migrate_on_kill
migrate_on_stop
done_testing
