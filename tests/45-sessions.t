#!/bin/sh
# 600 BMP sessions over 3 instances, of pmbmpd and of nfacctd: when an instance stops, its sessions go to the others; when it is
# back, they return, after some seconds and not all at once; no other session is touched. Without failover no session is ever
# closed. An instance that dies again and again gets its sessions back later.
. "${0%/*}/lib/traffic.sh"
need_traffic
need jq
sandbox

groups='pmbmpd nfacctd'

# ---- five groups: NAME is that of its daemon; "off" is one of pmbmpd without failover, "loop" one with an instance that dies twice, "twice" one
# of which two are away ----

port_of() {
	case $1 in pmbmpd) echo 1790 ;; nfacctd) echo 1791 ;; off) echo 1792 ;; loop) echo 1793 ;; twice) echo 1794 ;; esac
}

# configure NAME COUNT [LINE...]: a config for each index: $tmp/NAME-INDEX.conf
configure() {
	local name="$1" i
	config "$1" 2100 "$2" "bmp_daemon: true" "bmp_daemon_port: $(port_of "$1")" "bmp_daemon_max_peers: 700"
	shift 2
	for i in 0 1 2; do
		{
			if [ "$name" = nfacctd ]; then cat "$tmp/$name.conf"; else grep -E '^(reuseport|bmp_daemon_)' "$tmp/$name.conf"; fi
			echo "bmp_daemon_msglog_file: $tmp/$name-$i.json"
			printf '%b\n' "$@"
		} >"$tmp/$name-$i.conf"
	done
}

# begin NAME INDEX...: starts them
begin() {
	local name="$1" daemon="$pmbmpd" i
	[ "$name" != nfacctd ] || daemon=$nfacctd
	shift
	for i in "$@"; do run_daemon "$name" "$i" "$daemon" -f "$tmp/$name-$i.conf" -x "$i"; done
}

# until_ready NAME INDEX...: waits until they read
until_ready() {
	local name="$1" words='listener bmp joined' i
	[ "$name" != nfacctd ] || words='waiting for NetFlow'
	shift
	for i in "$@"; do
		await 30 has_line "$tmp/$name-$i.log" "$words" || die "index $i of $name does not start"
	done
}

# ---- sessions ----

# sessions_begun NAME: lines "router index", of those sessions that began since the last forget_sessions
sessions_begun() {
	local i
	for i in 0 1 2; do
		[ ! -f "$tmp/$1-$i.json" ] ||
			jq -r --arg i $i 'select(.bmp_msg_type == "init") | .bmp_router + " " + $i' "$tmp/$1-$i.json"
	done | sort
}

have_begun() {
	[ "$(sessions_begun "$1" | wc -l)" -ge "$2" ]
}

forget_sessions() {
	local i
	for i in 0 1 2; do : >"$tmp/$1-$i.json"; done
}

# ---- cases ----

set_up() {
	local group
	for group in $groups; do
		configure "$group" 3
		begin "$group" 0 1 2
	done
	configure off 2 "reuseport_failover: false"
	begin off 0 1
	configure loop 2
	begin loop 0 1
	for group in $groups; do until_ready "$group" 0 1 2; done
	until_ready off 0 1
	until_ready loop 0 1
}

connect() {
	local group
	for group in $groups; do start_routers "$group" bmp "$(port_of "$group")" 300; done
	start_routers off bmp "$(port_of off)" 30
	start_routers loop bmp "$(port_of loop)" 30
	for group in $groups; do
		ok "$group: 600 sessions come up" await 60 routers_are_up "$group"
		ok "$group: all have been read" await 10 have_begun "$group" 600
		sessions_begun "$group" >"$tmp/$group.first"
		is "$group: they are from 600 routers" "$(cut -d' ' -f1 "$tmp/$group.first" | sort -u | wc -l)" 600
		grep ' 1$' "$tmp/$group.first" >"$tmp/$group.owned"
	done
	ok "off: 60 sessions come up" await 60 routers_are_up off
	ok "off: all have been read" await 10 have_begun off 60
	ok "loop: 60 sessions come up" await 60 routers_are_up loop
	ok "loop: all have been read" await 10 have_begun loop 60
	peers "$(port_of loop)" "$(pid_of loop 1)" | sort >"$tmp/loop.owned"
	at_least "loop: sessions of index 1" "$(wc -l <"$tmp/loop.owned")" 10
	die_early
}

# die_early: index 1 of "loop" is killed, within two minutes
die_early() {
	kill -KILL "$(pid_of loop 1)"
	wait "$(pid_of loop 1)" 2>/dev/null || true
}

start_again() {
	begin loop 1
	until_ready loop 1
}

# noticed N SECONDS: whether index 0 of "loop" has said after how many ends of index 1 its sessions return after so many seconds
noticed() {
	has_line "$tmp/loop-0.log" "index 1 is live again .ends within minutes of a start: $1.: its sessions with listener bmp return after $2 s"
}

die_again() {
	ok "loop: index 1 died: its sessions return after 5 s" await 60 noticed 1 5
	die_early
	ok "loop: index 0 has all sessions" await 60 loop_moved
	start_again
	ok "loop: index 1 died twice: its sessions return after 10 s" await 60 noticed 2 10
}

check_late_return() {
	ok "loop: its sessions return nevertheless" await 120 loop_returned
	stop_routers loop
}

# loop_moved: whether index 0 of "loop" has all sessions
loop_moved() {
	[ "$(peers "$(port_of loop)" "$(pid_of loop 0)" | wc -l)" -eq 60 ]
}

# loop_returned: whether index 1 of "loop" has the sessions that it had at first
loop_returned() {
	peers "$(port_of loop)" "$(pid_of loop 1)" | sort | cmp -s - "$tmp/loop.owned"
}

# two_away: two of three instances are away, and one of these comes back: routers of the other one, for which it comes first, go to it, too
two_away() {
	local i
	configure twice 3
	begin twice 0 1 2
	until_ready twice 0 1 2
	start_routers twice bmp "$(port_of twice)" 30
	ok "twice: 60 sessions come up" await 60 routers_are_up twice
	for i in 0 1; do ok "twice: index $i stops" stopped TERM "$(pid_of twice $i)"; done
	ok "twice: index 2 has all sessions" await 60 index_2_has_all
	peers "$(port_of twice)" "$(pid_of twice 2)" >"$tmp/twice.all"
	begin twice 1
	until_ready twice 1
	ok "twice: index 1 comes back: sessions are where the selector sends their routers" await 60 are_as_placed
	at_least "twice: of these, routers of index 0 that are at index 1" "$(placed '.bucket == 0 and .served_by == 1' | wc -l)" 3
	stop_routers twice
	for i in 1 2; do ok "twice: index $i exits with 0" stopped INT "$(pid_of twice $i)"; done
}

index_2_has_all() {
	[ "$(peers "$(port_of twice)" "$(pid_of twice 2)" | wc -l)" -eq 60 ]
}

# placed CONDITION: routers of "twice" for which it holds, by what the selector would do now
placed() {
	"$reuseportctl" --pin-path "$bpffs/twice" --json where --load "$tmp/twice.all" | jq -r ".[] | select($1) | .exporter" | sort
}

# are_as_placed: whether index 1 has the sessions of the routers that the selector sends to it
are_as_placed() {
	[ "$(placed '.served_by == 1')" = "$(peers "$(port_of twice)" "$(pid_of twice 1)" | sort)" ]
}

# resize_without_failover: a third of the sessions of "off" get another owner, which reads
resize_without_failover() {
	forget_sessions off
	ok "off: it grows to 3" quietly "$reuseportctl" --pin-path "$bpffs/off" resize 3
	configure off 3 "reuseport_failover: false"
	begin off 2
	until_ready off 2
	resized=$(date +%s%N)
}

stop_index_1() {
	local group away
	for group in $groups; do
		forget_sessions "$group"
		away=$(wc -l <"$tmp/$group.owned")
		at_least "$group: sessions of index 1" "$away" 100
		ok "$group: index 1 stops" stopped TERM "$(pid_of "$group" 1)"
	done
	for group in $groups; do
		away=$(wc -l <"$tmp/$group.owned")
		ok "$group: the $away sessions of index 1 find the others" await 20 have_begun "$group" "$away"
		sessions_begun "$group" >"$tmp/moved"
		ok "$group: no other session moves" [ "$(cut -d' ' -f1 "$tmp/moved")" = "$(cut -d' ' -f1 "$tmp/$group.owned")" ]
	done
}

# return_to_index_1: each session is closed at a moment of its own, 20 a second, 5 seconds after index 1 reads; a slower machine only
# takes longer
return_to_index_1() {
	local group away since
	since=$(date +%s%N)
	for group in $groups; do
		forget_sessions "$group"
		begin "$group" 1
	done
	for group in $groups; do
		away=$(wc -l <"$tmp/$group.owned")
		ok "$group: when index 1 is back its $away sessions return" await 60 have_begun "$group" "$away"
		diag "$group: $away sessions of index 1 were back after $(ms_since "$since") ms"
	done
	for group in $groups; do check_return "$group"; done
}

check_return() {
	local i portions
	sessions_begun "$1" >"$tmp/back"
	ok "$1: all of them, to index 1, and no other" cmp "$tmp/back" "$tmp/$1.owned"
	for i in 0 2; do
		portions=$(portions "$1" $i)
		ok "$1: not all at once: index $i has returned $portions: in more than one portion" \
			[ "${portions% sessions*}" -gt 0 -a "${portions#*in }" -gt 1 ]
	done
}

# portions NAME INDEX: prints "N sessions in M": how many sessions that instance has returned, and in how many portions at
# least. The daemon looks at all its sessions, in the order in which they came, and closes those that are due: where its log
# goes back in this order, it has looked again.
portions() {
	awk '{router = match($0, /\[[0-9a-f.:]+\]/) ? substr($0, RSTART, RLENGTH) : ""}
		/BMP peers usage/ {place[router] = ++places}
		/closing its session with listener bmp/ {
			n++
			if (!last || place[router] < last) looks++
			last = place[router]
		}
		END {print n + 0 " sessions in " looks + 0}' "$tmp/$1-$2.log"
}

disconnect() {
	local group away
	for group in $groups; do
		away=$(wc -l <"$tmp/$group.owned")
		stop_routers "$group"
		is "$group: sessions ended in all: those of index 1, when it left and when it was back" "$ended" $((away * 2))
	done
}

# check_without_failover: when those of other groups would have been closed
check_without_failover() {
	await 60 eval "[ \$(ms_since $resized) -ge 17000 ]"
	stop_routers off
	is "off: 17 s after a third of 60 sessions got another owner, ended" "$ended" 0
}

stop_instances() {
	local group i
	for i in 0 1; do kill -INT "$(pid_of loop $i)"; done
	for i in 0 1; do ok "loop: index $i exits with 0" exits_with_0 "$(pid_of loop $i)"; done
	for group in $groups off; do
		for i in 0 1 2; do kill -INT "$(pid_of "$group" $i)"; done
	done
	for group in $groups off; do
		for i in 0 1 2; do ok "$group: index $i exits with 0" exits_with_0 "$(pid_of "$group" $i)"; done
	done
}

set_up
connect
resize_without_failover
start_again
stop_index_1
die_again
return_to_index_1
disconnect
check_without_failover
check_late_return
stop_instances
two_away
done_testing
