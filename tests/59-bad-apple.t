#!/bin/sh
# One bad apple takes its own share away, and nothing else: a datagram or a message that crashes an instance, or keeps it busy for ever; an
# instance that waits for something, or is stopped, or does not come up. The decoder's fault is a mock: tests/tools/bad_apple.c.
#
# POISON_MINUTES=10: the datagram that crashes instances comes for so many minutes, not for 8 seconds, and whoever has ended is started again.
. "${0%/*}/lib/traffic.sh"
. "${0%/*}/lib/bad_apple.sh"
need_traffic
need jq
sandbox

# ---- the group, the exporters and the bad one ----

# begin: three instances, and 60 exporters that send 5,000 datagrams a second
begin() {
	config live 2100 3 "$by_period" "reuseport_nonce: 42" "bmp_daemon: true" "bmp_daemon_port: 1790" "bmp_daemon_max_peers: 100"
	start_all live 3
	watch_queues
	start_sender traffic mixed 4 2100 exporters=60 rate=5000 period=50
	sleep 2
	deaths=0
}

# start_again: whoever has ended
start_again() {
	local i
	for i in 0 1 2; do
		if gone "$(pid_of live $i)"; then start_and_wait live $i; fi
	done
}

# end: none of the 60 has lost more than what the kernel threw away with dead sockets, and what the batches of the dead had
end() {
	local lost queued full
	full=$(full_buffers)
	stop_traffic
	stop_all live
	missing live >"$tmp/missing"
	lost=$(total_lost)
	await 10 is_explained "$((lost - full))" || true
	queued=$(queues_lost)
	ok "of $(total_sent) flows of the others, $lost lost, of which dead sockets had $queued and their batches at most $((batch * deaths)); $full dropped at full buffers" \
		[ "$lost" -le $((queued + batch * deaths + full)) ]
	counted_once
	diag "$(total_sent) flows of 60 exporters, $lost lost; $queued died in queues, with $deaths instances"
}

# is_explained LOST: whether so many were in the queues and batches of the dead
is_explained() {
	[ "$1" -le $(($(count_queues_lost) + batch * deaths)) ]
}

# one_dies NAME: the assertion: one instance ends, within 20 seconds
one_dies() {
	ok "$1" await 20 are_dead 1 live
	deaths=$((deaths + 1))
}

# ctl WORD...: reuseportctl on that group
ctl() {
	"$reuseportctl" --pin-path "$bpffs/live" "$@"
}

# bucket_of ADDRESS: the one that the exporter belongs to
bucket_of() {
	ctl where --json "$1" | jq '.[0].bucket'
}

# in_quarantine: how many exporters are, or were
in_quarantine() {
	ctl status --json | jq '.quarantine | length'
}

# logged REGEX: whether one of the instances has such a line
logged() {
	grep -qE -- "$1" "$tmp"/live-[012].log
}

# ---- scenarios: each ends with three instances ----

# A datagram that crashes whoever decodes it
crash_by_datagram() {
	if [ "${POISON_MINUTES:-0}" -gt 0 ]; then poison_for_minutes "$POISON_MINUTES"; else poison_for_seconds; fi
	like "status marks the exporter" "$(ctl status)" '^! 10\.9\.0\.1 is in quarantine for another [0-9]+ s, for it has brought down (1 instance|2 instances) '
	like "'override list' has it" "$(ctl override list)" '^# 10\.9\.0\.1 is in quarantine for another [0-9]+ s: (1 instance|2 instances) brought down'
	like "'where' says so" "$(ctl where 10.9.0.1)" 'quarantine$'
	at_least "datagrams of it that were dropped" "$(ctl status --json | jq '[.listeners[].quarantined] | add')" 30
	quietly ctl override delete 10.9.0.1
	like "'override delete' releases it" "$(ctl where --json 10.9.0.1 | jq -r '.[0].by')" hash
	start_again
}

poison_for_seconds() {
	local n
	for n in $(seq 1 40); do
		say CRSH 10.9.0.1
		sleep 0.2
	done
	one_dies "a datagram that crashes instances, sent 40 times in 8 s and more: one of them ends"
	ok "another one has logged whose it was" logged 'WARN .*: index [0-2], pid [0-9]*, ended by signal 11 \(Segmentation fault\) and had data of 10\.9\.0\.1 in hand'
	like "status marks the instance" "$(ctl status)" '^! pid [0-9]+ at bucket [0-2] of nfacctd crashed by signal 11 .* while it decoded what came from 10\.9\.0\.1, '
}

# poison_for_minutes MINUTES: when each instance was found to have ended is in $tmp/ends, in ms: not before it had
poison_for_minutes() {
	local began i sender
	began=$(date +%s%N)
	while [ ! -e "$tmp/enough" ]; do say CRSH 10.9.0.1; sleep 0.2; done &
	sender=$!
	: >"$tmp/ends"
	while [ "$(ms_since "$began")" -lt $(($1 * 60000)) ]; do
		for i in 0 1 2; do
			gone "$(pid_of live $i)" || continue
			ms_since "$began" >>"$tmp/ends"
			start_and_wait live $i
		done
		sleep 0.2
	done
	touch "$tmp/enough"
	wait $sender
	deaths=$(wc -l <"$tmp/ends")
	is "a datagram that crashes instances, five times a second: of those that end, in the first minute" "$(awk '$1 < 60000' "$tmp/ends" | wc -l)" 1
	ok "in ten minutes, at most two" [ "$(awk '$1 < 600000' "$tmp/ends" | wc -l)" -le 2 ]
	diag "in $1 min, $deaths ended: after $(paste -sd' ' "$tmp/ends") ms"
}

# One that it never comes to an end with
loop_by_datagram() {
	say LOOP 10.9.0.2
	one_dies "a datagram that is decoded for ever: the instance ends"
	ok "it has logged whose it was" logged 'ERROR .*: has decoded the same datagram of 10\.9\.0\.2 for [0-9]+ s and does not come to an end'
	like "the exporter is in quarantine" "$(ctl status)" '^! 10\.9\.0\.2 is in quarantine'
	start_again
}

# An instance that waits for something, while its datagrams wait
wait_for_disk() {
	local index convicts
	index=$(bucket_of 10.9.0.3)
	convicts=$(in_quarantine)
	say WAIT 10.9.0.3
	ok "an instance that waits for long says that its exporters are with others" await 10 has_line "$tmp/live-$index.log" 'has not read for [0-9]+ s, while datagrams wait'
	is "its bucket is empty" "$(ctl status --json | jq ".listeners[] | select(.name == \"nfacctd\") | .buckets[$index].live")" false
	like "status says why" "$(ctl status)" "^! pid [0-9]+ at bucket $index of nfacctd did not read for seconds"
	ok "when it is awake, it says so" await 15 has_line "$tmp/live-$index.log" 'is awake again, after it did not read for more than 5 s'
	ok "reads what it had queued, and leaves" await 15 gone "$(pid_of live "$index")"
	is "exporters in quarantine, as before" "$(in_quarantine)" "$convicts"
	start_again
}

# One that does not run at all
stop_by_signal() {
	local victim
	victim=$(pid_of live 1)
	kill -STOP "$victim"
	ok "an instance that is stopped: another one takes it out" await 10 logged "WARN .*: index 1, pid $victim, has not run for more than 5 s"
	like "status says why" "$(ctl status)" '^! pid [0-9]+ at bucket 1 of nfacctd did not run at all for seconds'
	kill -CONT "$victim"
	ok "when it runs again, it says so" await 10 has_line "$tmp/live-1.log" 'is awake again, after it did not run for more than 5 s'
	ok "reads what it had queued, and leaves" await 15 gone "$victim"
	start_again
}

# Nobody is accused who was merely in hand
accuse_nobody() {
	local n=1 convicts
	convicts=$(in_quarantine)
	until [ "$(bucket_of 10.9.1.$n)" -eq 0 ]; do n=$((n + 1)); done
	say WAIT 10.9.1.$n
	sleep 0.5
	kill -SEGV "$(pid_of live 0)"
	one_dies "a fatal signal of another process ends an instance"
	ok "that is logged" await 5 logged 'ended by signal 11 .* had data of nobody in hand'
	start_again
	kill -KILL "$(pid_of live 1)"
	one_dies "SIGKILL, too"
	is "exporters in quarantine, as before" "$(in_quarantine)" "$convicts"
	start_again
}

# A router whose BMP session crashes whoever reads it; 59-sessions.t has the others
crash_by_session() {
	connect_and_say CRSH 10.9.0.4 1790 || true
	one_dies "a BMP message that crashes the instance"
	like "its router is in quarantine" "$(ctl status)" '^! 10\.9\.0\.4 is in quarantine'
	ok "which refuses its sessions" not connect_and_say CRSH 10.9.0.4 1790
	sleep 1
	is "instances that have ended" "$(dead live)" 1
	start_again
}

faults_logged() {
	cat "$tmp"/live-[012].log | grep -cE 'has not read for|has not run for|does not come to an end' || true
}

# Busy processes take the time of all CPUs: no instance is taken for one that hangs. The instances have the priority of the busy ones.
bear_load() {
	local i before
	before=$(faults_logged)
	: >"$tmp/busy"
	for i in 0 1 2; do pgrep -P "$(pid_of live $i)" | xargs renice -n 0 -p "$(pid_of live $i)" >/dev/null; done
	for i in $(seq $((4 * $(nproc)))); do
		nice -n 10 sh -c 'while :; do :; done' &
		echo $! >>"$tmp/busy"
	done
	sleep 8
	while read -r i; do kill "$i"; done <"$tmp/busy"
	is "beside $((4 * $(nproc))) busy processes on $(nproc) CPUs, instances that are taken out" \
		$(($(faults_logged) - before)) 0
	is "and instances that have ended" "$(dead live)" 0
}

by_hash() {
	[ "$(ctl where --json "$1" | jq -r '.[0].by')" = hash ]
}

# A quarantine is over after a minute; the next one of the same exporter takes twice as long
quarantine_ends() {
	ok "the quarantine of the second one ends" await 60 by_hash 10.9.0.2
	say CRSH 10.9.0.2
	one_dies "it brings down another instance"
	ok "then it is in quarantine again" await 5 not by_hash 10.9.0.2
	at_least "seconds" "$(ctl status | sed -n 's/^! 10\.9\.0\.2 is in quarantine for another \([0-9]*\) s, for it has brought down 2 instances .*/\1/p')" 61
	start_again
}

off_logged() {
	grep -q "$1" "$tmp"/off-0.log "$tmp"/off-1.log
}

# A group that has it off
without_quarantine() {
	local n
	config off 2102 2 "reuseport_quarantine: false"
	start_all off 2
	for n in 1 2; do
		say CRSH 10.9.0.5 2102
		ok "reuseport_quarantine: false: the same exporter brings down instance $n of 2" await 20 are_dead $n off
		[ $n -eq 2 ] || ok "the other one has logged whose it was" await 10 off_logged 'had data of 10\.9\.0\.5 in hand'
	done
	is "exporters in quarantine" "$("$reuseportctl" --pin-path "$bpffs/off" status --json | jq '.quarantine | length')" 0
}

# Before an instance dies of a fatal signal, and writes its core dump, its bucket is empty and the exporter in quarantine. It stops in between. It is
# alone, so that no other one has taken it out.
give_up_first() {
	local pid status=0
	config alone 2103 1
	BAD_APPLE_STOP=1 start_and_wait alone 0
	pid=$(pid_of alone 0)
	say CRSH 10.9.0.8 2103
	ok "a fatal signal: before the process dies of it" await 20 has_line "/proc/$pid/status" '^State:.T'
	"$reuseportctl" --pin-path "$bpffs/alone" status --json >"$tmp/alone.json" || true
	is "its bucket is empty" "$(jq -r '.listeners[] | select(.name == "nfacctd") | .buckets[0].live' "$tmp/alone.json")" false
	is "the exporter is in quarantine" "$(jq -r '.quarantine[].exporter' "$tmp/alone.json")" 10.9.0.8
	kill -CONT "$pid"
	wait "$pid" 2>/dev/null || status=$?
	is "then it dies of that signal" $status $((128 + 11))
}

# feed_fifo: whoever opens it finds it empty; the map is read more than once
feed_fifo() {
	for _ in 1 2 3 4 5; do timeout 5 dd if=/dev/null of="$tmp/fifo" 2>/dev/null || return 0; done
}

# One that waits for something while it starts, before others do
start_stuck() {
	config start 2101 2 "pre_tag_map: $tmp/fifo"
	mkfifo "$tmp/fifo"
	start start 0
	ok "an instance that is alone joins while it starts" await 10 has_line "$tmp/start-0.log" 'listener nfacctd joined'
	sed -i '/^pre_tag_map/d' "$tmp/start.conf"
	start_and_wait start 1
	ok "it gives its bucket back when others read" await 15 has_line "$tmp/start-0.log" 'has been starting for more than 5 s and gives its bucket back'
	feed_fifo &
	ok "and joins when it is ready" await 20 is_up start 0
	ok "again" await 10 has_line "$tmp/start-0.log" 'joined .* as index 0 of 2 \(2 live'
	stop_all start
}

preload
begin
crash_by_datagram
loop_by_datagram
wait_for_disk
stop_by_signal
accuse_nobody
crash_by_session
bear_load
quarantine_ends
end
without_quarantine
give_up_first
start_stuck
done_testing
