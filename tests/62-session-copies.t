#!/bin/sh
# A session is held by the core alone that reads it: not by its plugins, by a process that writes a dump, nor by what is executed. So
# it ends with the core, also when a child lives on; and it ends when the core leaves, not when its plugin has written. So is the connection that a
# BGP xconnect opens to another collector.
. "${0%/*}/lib/traffic.sh"
need_traffic
need jq perl ss
sandbox

library=$root/tests/bin/next_minute.so
[ -f "$library" ] || skip_all "no $library: run make check-tools"
routers=60

# configure: three nfacctd with BMP, which dump what routers tell at every full minute, or when $tmp/minute is there
configure() {
	local i
	for i in 0 1 2; do
		config live$i 2100 3 "reuseport_pin_path: $bpffs/live" "bmp_daemon: true" "bmp_daemon_port: 1790" "bmp_daemon_max_peers: 100" \
			"bmp_daemon_msglog_file: $tmp/live$i.json" "bmp_dump_file: $tmp/dump$i" "bmp_dump_refresh_time: 60"
	done
}

# lock FILE...: whoever writes there waits, until let_go
lock() {
	: >"$tmp/lock"
	perl "$root/tests/tools/lock.pl" "$@" >"$tmp/lock" &
	locker=$!
	await 10 grep -q locked "$tmp/lock" || die "cannot lock $*"
}

let_go() {
	kill "$locker"
	wait "$locker" 2>/dev/null || true
}

# ---- who holds sessions ----

# sessions: those of the server's side, a line "bytes-queued pid..." each
sessions() {
	ss -Htnp state established sport = :1790 | awk '{
		line = $1
		n = split($0, words, "pid=")
		for (i = 2; i <= n; i++) line = line " " words[i] + 0
		print line
	}'
}

# cores INDEX...: their pids, as a regular expression
cores() {
	local i list=
	for i in "$@"; do list="$list${list:+|}$(pid_of "live$i" "$i")"; done
	echo "$list"
}

# are_read INDEX...: whether there are sessions with all routers, each held by one of these cores alone, which has read it
are_read() {
	sessions >"$tmp/sessions"
	[ "$(grep -cE "^0 ($(cores "$@"))\$" "$tmp/sessions")" -eq $routers ] && [ "$(wc -l <"$tmp/sessions")" -eq $routers ]
}

# ---- cases ----

# start_together: while 60 routers try to connect, twice a second
start_together() {
	local i
	start_routers all bmp 1790 $((routers / 2))
	for i in 0 1 2; do
		run_daemon live$i $i env LD_PRELOAD="$library" NEXT_MINUTE="$tmp/minute" "$nfacctd" -f "$tmp/live$i.conf" -x $i -o "$tmp/live$i-$i.csv"
	done
	for i in 0 1 2; do
		await 30 is_up live$i $i || die "index $i does not start"
	done
	ok "$routers routers that try again and again while three instances start: each has a session, held by a core alone, and read" \
		await 30 are_read 0 1 2 || diag "$(cat "$tmp/sessions")"
	is "each of them has said hello to an instance" \
		"$(jq -r 'select(.bmp_msg_type == "init").bmp_router' "$tmp"/live?.json | sort -u | wc -l)" $routers
}

# closed_on_exec: how many sessions there are, and how many of them a program that the core executes would get
closed_on_exec() {
	local i pid fd flags n=0 open=0
	for i in 0 1 2; do
		pid=$(pid_of live$i $i)
		for fd in $(ss -Htnp state established sport = :1790 | sed -n "s/.*pid=$pid,fd=\([0-9]*\).*/\1/p"); do
			# one that failed over to it may return to its owner at this very moment
			flags=$(sed -n 's/^flags:[[:space:]]*//p' "/proc/$pid/fdinfo/$fd" 2>/dev/null) || continue
			n=$((n + 1))
			[ $((flags & 02000000)) -ne 0 ] || open=$((open + 1))
		done
	done
	at_least "sessions of the three cores" $n 1
	is "of them, what a core executes has" $open 0
}

# writes_a_dump INDEX: whether a process of it waits for the lock of its dump; its pid is in $dump
writes_a_dump() {
	for dump in $(pgrep -P "$(pid_of "live$1" "$1")"); do
		grep -q -- "-> POSIX .* $dump " /proc/locks && return
	done
	return 1
}

# has_sessions INDEX: whether it has any
has_sessions() {
	[ -n "$(peers 1790 "$(pid_of "live$1" "$1")")" ]
}

# die_beside_a_dump: the core of index 1 is killed while a process of it writes a dump
die_beside_a_dump() {
	local victim dump
	ok "index 1 has sessions" await 30 has_sessions 1
	lock "$tmp/dump1"
	touch "$tmp/minute"
	ok "index 1 writes a dump, and does not come to an end" await 20 writes_a_dump 1
	ok "sessions are held by the cores alone" await 5 are_read 0 1 2 || diag "$(cat "$tmp/sessions")"
	victim=$(pid_of live1 1)
	kill -KILL "$victim"
	wait "$victim" 2>/dev/null || true
	ok "its core is killed: its routers have sessions with the others" await 20 are_read 0 2 || diag "$(cat "$tmp/sessions")"
	ok "while the dump is still written" not gone "$dump"
	let_go
}

# leave_before_the_plugin: index 2 stops, and its plugin cannot write yet
leave_before_the_plugin() {
	local pid
	ok "index 2 has sessions" await 30 has_sessions 2
	"$tools/exporter" netflow5 4 2100 exporters=30 ports=1 datagrams=4 rate=2000 >/dev/null
	await 20 queues_empty 2100
	lock "$tmp/live2-2.csv"
	pid=$(pid_of live2 2)
	kill -TERM "$pid"
	ok "index 2 stops: its routers have sessions with index 0" await 30 are_read 0 || diag "$(cat "$tmp/sessions")"
	ok "before its plugin has written" not gone "$pid"
	let_go
	ok "when that has written, it exits with 0" exits_with_0 "$pid"
	ok "all that index 2 got is written" [ "$(received live2 | awk '{n += $3} END {print n + 0}')" -gt 0 ]
}

# hand_on: pmbgpd connects a router's session to another collector's, and forks. Upstream has it fork nothing with a map of xconnects, so that
# what it forks is a mock's (tests/tools/bad_apple.c).
hand_on() {
	local core child
	printf '%s\n' "bgp_daemon_port: 1179" "bgp_daemon_max_peers: 10" "bgp_daemon_xconnect_map: $tmp/xconnects" "reuseport_hashbucket_count: 1" \
		"reuseport_bpf_prog: $object" "reuseport_pin_path: $bpffs/xconnect" >"$tmp/xconnect.conf"
	echo "bgp_dst=127.0.0.1:1180 bgp_src=127.0.0.2" >"$tmp/xconnects"
	perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:1180", Listen => 1)->accept;
		1 while $s->sysread(my $data, 100); print "ended\n"' >"$tmp/collector" &
	run_daemon xconnect 0 env LD_PRELOAD="$tools/bad_apple.so" "$tree/src/pmbgpd" -f "$tmp/xconnect.conf" -x 0
	await 20 has_line "$tmp/xconnect-0.log" 'listener bgp joined' || die "pmbgpd does not start"
	core=$(pid_of xconnect 0)
	perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.2", PeerAddr => "127.0.0.1:1179");
		$s->syswrite("FORK    "); $s->sysread(my $end, 1); print "ended\n"' >"$tmp/router" &
	ok "a BGP session is handed on to another collector, and its core forks" await 20 has_child "$core"
	child=$(pgrep -P "$core" | head -n 1)
	is "who has it, and the connection to that collector" "$(ss -Htnp state established '( sport = :1179 or dport = :1180 )' | grep -o 'pid=[0-9]*')" \
		"pid=$core
pid=$core"
	kill -KILL "$core"
	wait "$core" 2>/dev/null || true
	ok "its core is killed: both end" await 10 both_end
	ok "while what it forked lives on" not gone "$child"
	kill -KILL "$child"
}

has_child() {
	[ -n "$(pgrep -P "$1")" ]
}

both_end() {
	grep -q ended "$tmp/collector" && grep -q ended "$tmp/router"
}

configure
hand_on
start_together
closed_on_exec
die_beside_a_dump
leave_before_the_plugin
stop_routers all
ok "index 0 exits with 0" stopped INT "$(pid_of live0 0)"
done_testing
