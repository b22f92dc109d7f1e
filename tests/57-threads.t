#!/bin/sh
# The core forks its plugins while no thread of BGP or BMP runs: a plugin never has a lock that a thread held in that moment, and which
# no thread releases. Without that, it would write nothing, or not end.
. "${0%/*}/lib/daemons.sh"
need_daemons
sandbox

library=$root/tests/bin/held_lock.so
rounds=2
sent=1000

set_up() {
	[ -f "$library" ] || skip_all "no $library: run make check-tools"
	touch "$tmp/allow"
	config bgp 2100 1 "bgp_daemon: true" "bgp_daemon_port: 1790" "bgp_daemon_max_peers: 10" "bgp_daemon_allow_file: $tmp/allow"
	config bmp 2110 1 "bmp_daemon: true" "bmp_daemon_port: 1791" "bmp_daemon_max_peers: 10" "bmp_daemon_allow_file: $tmp/allow"
}

# start_both [VARIABLE...]: an nfacctd with BGP and one with BMP, with these in their environment
start_both() {
	local name
	for name in bgp bmp; do
		rm -f "$tmp/$name-0.csv"
		run_daemon $name 0 env "$@" "$nfacctd" -f "$tmp/$name.conf" -x 0 -o "$tmp/$name-0.csv"
	done
}

# check NAME PORT WORDS: it reads; what it gets its plugin writes; then both end
check() {
	local name="$1" port="$2" words="$3" pid plugins plugin
	ok "$words: the core and its plugin read" await 60 is_up "$name" 0 || return 0
	"$tools/exporter" netflow5 4 "$port" exporters=10 ports=1 datagrams=$((sent / 10)) rate=2000 >"$tmp/sent"
	is "$words: flows sent" "$(cat "$tmp/sent")" $sent
	await 20 queues_empty "$port" || true
	pid=$(pid_of "$name" 0)
	plugins=$(pgrep -P "$pid" || true)
	ok "$words: told to stop, it exits with 0" stopped INT "$pid"
	for plugin in $plugins; do ok "$words: so has its plugin" gone "$plugin"; done
	received "$name" >"$tmp/received"
	is "$words: of $sent flows, its plugin has written" "$(total_received)" $sent
	end "$name"
}

# end NAME: whatever is left of it
end() {
	local pid
	pid=$(pid_of "$1" 0)
	gone "$pid" || kill -KILL $(pgrep -P "$pid") "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	rm -f "$tmp/$1-0.pid"
}

# with_a_lock: the thread comes late, and then holds a lock in the moment in which the core would fork
with_a_lock() {
	start_both "LD_PRELOAD=$library" "HELD_FILE=$tmp/allow"
	check bgp 2100 "the BGP thread comes late, and holds a lock"
	check bmp 2110 "the BMP thread comes late, and holds a lock"
}

# ---- beside busy processes ----

begin_busy() {
	: >"$tmp/busy"
	while [ "$(wc -l <"$tmp/busy")" -lt 8 ]; do
		while :; do :; done &
		echo $! >>"$tmp/busy"
	done
}

end_busy() {
	local pid
	while read -r pid; do
		kill "$pid"
		wait "$pid" 2>/dev/null || true
	done <"$tmp/busy"
}

# beside_busy ROUND
beside_busy() {
	start_both
	check bgp 2100 "beside 8 busy processes, start $1, with BGP"
	check bmp 2110 "beside 8 busy processes, start $1, with BMP"
}

set_up
with_a_lock
begin_busy
for round in $(seq $rounds); do beside_busy "$round"; done
end_busy
done_testing
