#!/bin/sh
# An instance is killed: its exporters are served by the others at once, its children hold no listener, the next start
# needs no clean-up, and its exporters return to it.
. "${0%/*}/lib/daemons.sh"
need_daemons
sandbox

# listeners PID: how many sockets a process holds that are bound to the group's ports
listeners() {
	local fd
	for fd in /proc/"$1"/fd/*; do readlink "$fd" || true; done | sed -n 's/^socket:\[\(.*\)\]$/\1/p' | sort >"$tmp/sockets"
	awk '$2 ~ /:(0834|06FE)$/ {print $10}' /proc/net/udp6 /proc/net/tcp6 | sort | comm -12 - "$tmp/sockets" | wc -l
}

# send: 1,000 datagrams, 10 of each exporter
send() {
	"$tools/exporter" netflow5 6 2100 exporters=100 ports=2 datagrams=5 rate=4000 >>"$tmp/sent"
}

children_hold_no_listener() {
	local child
	ok "it has children: its plugins" [ -n "$children" ]
	is "it holds two listeners, UDP and TCP" "$(listeners "$victim")" 2
	for child in $children; do is "its child $child holds none" "$(listeners "$child")" 0; done
}

# die_without_children: the victim; its children, which are held, outlive it until the next start. What comes until the kernel has closed its
# sockets is lost with them.
die_without_children() {
	local child
	for child in $children; do kill -STOP "$child"; done
	kill -KILL "$victim"
	await 10 gone "$victim"
}

start_again() {
	local child
	mv "$tmp/live-1.log" "$tmp/dead.log"
	mv "$tmp/live-1.csv" "$tmp/dead.csv" 2>/dev/null || true
	start live 1
	await 20 is_up live 1
	like "the same index starts again" "$(cat "$tmp/live-1.log")" \
		"listener nfacctd joined $bpffs/live as index 1 of 3 \(3 live"
	for child in $children; do
		ok "while child $child of the dead is still there" not gone "$child"
		kill -KILL "$child"
	done
}

# check_received: each exporter sent 10 datagrams before, while the victim was gone, and after
check_received() {
	local stayed back moved
	received live >"$tmp/received"
	stayed=$(awk '$3 == 30' "$tmp/received" | wc -l)
	back=$(awk '$2 == 1 && $3 == 10' "$tmp/received" | wc -l)
	moved=$(awk '$2 != 1 && $3 == 10' "$tmp/received" | wc -l)
	ok "exporters of the others stayed there all the time ($stayed of 100)" [ $((stayed + back)) -eq 100 ]
	ok "the dead had some of them ($back)" [ "$back" -gt 0 ]
	is "they were served by the others while it was gone, and returned" "$moved" "$back"
	is "datagrams lost, but for what died with it" $((3000 - $(total_received))) $((back * 10))
	is "sent in all" "$(awk '{sum += $1} END {print sum}' "$tmp/sent")" 3000
}

# last_one_dies: while another starts, and sleeps: that one joins before it can read, rather than have senders refused
last_one_dies() {
	config last 2101 2 "bmp_daemon: true\nbmp_daemon_port: 1791"
	start_and_wait last 0
	start last 1
	ok "a new instance waits" await 10 has_line "$tmp/last-1.log" 'listener bmp is bound and joins .* when it reads'
	kill -KILL "$(pid_of last 0)"
	ok "the last one dies: the new instance joins" await 20 has_line "$tmp/last-1.log" 'listener bmp joined .* as index 1 of 2 \(1 live'
	ok "and then reads" await 20 is_up last 1
	# On an emulated machine the kill may come later than the end of the new instance's sleep
	[ "${SLOWER:-1}" -gt 1 ] || is "what it says of both, in this order" \
		"$(grep -oE 'listener bmp joined|waiting for NetFlow' "$tmp/last-1.log" | paste -sd,)" "listener bmp joined,waiting for NetFlow"
	rm "$tmp/last-0.pid"
	stop_all last
}

config live 2100 3 "bmp_daemon: true\nbmp_daemon_port: 1790"
start_all live 3
victim=$(pid_of live 1)
children=$(pgrep -P "$victim")
children_hold_no_listener
send
die_without_children
send
start_again
send
stop_all live
check_received
last_one_dies
done_testing
