#!/bin/sh
# One bad apple takes its own share away, and nothing else: a datagram or a message that crashes an instance, or keeps it busy for ever; an
# instance that waits for something, or is stopped, or does not come up. The decoder's fault is a mock, tests/tools/bad_apple.c, preloaded
# into the daemons: it bites when what arrives begins with a certain word.
. "${0%/*}/lib/traffic.sh"
need_traffic
need jq
sandbox

# ---- the group, the exporters and the bad one ----

make_daemon() {
	printf '#!/bin/sh\nexec env LD_PRELOAD=%s %s "$@"\n' "$tools/bad_apple.so" "$nfacctd" >"$tmp/daemon"
	chmod +x "$tmp/daemon"
	nfacctd=$tmp/daemon
}

# begin NAME [LINE...]: three instances, and 60 exporters that send 5,000 datagrams a second
begin() {
	local name="$1"
	shift
	config "$name" 2100 3 "$by_period" "reuseport_nonce: 42" "bmp_daemon: true" "bmp_daemon_port: 1790" "bmp_daemon_max_peers: 100" "$@"
	start_all "$name" 3
	watch_queues
	start_sender traffic mixed 4 2100 exporters=60 rate=5000 period=50
	sleep 2
}

# end NAME: none of the 60 has lost more than what the kernel threw away with dead sockets, and what their batches had
end() {
	local lost queued full
	full=$(full_buffers)
	stop_traffic
	stop_all "$1"
	queued=$(queues_lost)
	missing "$1" >"$tmp/missing"
	lost=$(total_lost)
	ok "$1: of $(total_sent) flows of the others, $lost lost, of which dead sockets had $queued and their batches at most $((batch * $2)); $full dropped at full buffers" \
		[ "$lost" -le $((queued + batch * $2 + full)) ]
	counted_once
	diag "$1: $(total_sent) flows of 60 exporters, $lost lost; $queued died in queues"
}

# say WORD ADDRESS: a datagram of the exporter with that address
say() {
	perl -MIO::Socket::INET -e 'IO::Socket::INET->new(Proto => "udp", LocalAddr => $ARGV[1], PeerAddr => "127.0.0.1:2100")->send("$ARGV[0]    ")' "$1" "$2"
}

# connect_and_say WORD ADDRESS: what a router's BMP session begins with
connect_and_say() {
	perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Proto => "tcp", LocalAddr => $ARGV[1], PeerAddr => "127.0.0.1:1790") or exit 1;
		$s->syswrite("$ARGV[0]    "); $s->sysread(my $end, 1)' "$1" "$2"
}

# dead NAME: how many instances have ended
dead() {
	local i n=0
	for i in 0 1 2; do
		if gone "$(pid_of "$1" "$i")"; then n=$((n + 1)); fi
	done
	echo $n
}

are_dead() {
	[ "$(dead "$1")" -eq "$2" ]
}

# ctl NAME WORD...: reuseportctl on that group
ctl() {
	local name="$1"
	shift
	"$reuseportctl" --pin-path "$bpffs/$name" "$@"
}

# bucket_of NAME ADDRESS: the one that the exporter belongs to
bucket_of() {
	ctl "$1" where --json "$2" | jq '.[0].bucket'
}

# in_quarantine NAME: how many exporters are, or were
in_quarantine() {
	ctl "$1" status --json | jq '.quarantine | length'
}

# logged NAME REGEX: whether one of the instances has such a line
logged() {
	grep -qE -- "$2" "$tmp/$1"-[012].log
}

# ---- scenarios ----

# A datagram that crashes whoever decodes it, five times a second
crash_by_datagram() {
	local n
	begin crash
	for n in $(seq 1 40); do
		say CRSH 10.9.0.1
		sleep 0.2
	done
	is "a datagram that crashes instances, sent for 8 s and more: instances that ended" "$(dead crash)" 1
	ok "another one has logged whose it was" logged crash 'WARN .*: index [0-2], pid [0-9]*, ended by signal 11 \(Segmentation fault\) and had data of 10\.9\.0\.1 in hand'
	like "status marks the instance" "$(ctl crash status)" '^! pid [0-9]+ at bucket [0-2] of nfacctd crashed by signal 11 .* while it decoded what came from 10\.9\.0\.1, '
	like "and the exporter" "$(ctl crash status)" '^! 10\.9\.0\.1 is in quarantine for another [0-9]+ s, for it has brought down 1 instance '
	like "'override list' has it" "$(ctl crash override list)" '^# 10\.9\.0\.1 is in quarantine for another [0-9]+ s: 1 instance brought down'
	like "'where' says so" "$(ctl crash where 10.9.0.1)" 'quarantine$'
	at_least "datagrams of it that were dropped" "$(ctl crash status --json | jq '[.listeners[].quarantined] | add')" 30
	quietly ctl crash override delete 10.9.0.1
	like "'override delete' releases it" "$(ctl crash where --json 10.9.0.1 | jq -r '.[0].by')" hash
	end crash 1
}

# One that it never comes to an end with
loop_by_datagram() {
	begin loop
	say LOOP 10.9.0.2
	ok "a datagram that is decoded for ever: the instance ends" await 20 are_dead loop 1
	ok "it has logged whose it was" logged loop 'ERROR .*: has decoded the same datagram of 10\.9\.0\.2 for [0-9]+ s and does not come to an end'
	like "the exporter is in quarantine" "$(ctl loop status)" '^! 10\.9\.0\.2 is in quarantine'
	end loop 1
}

# An instance that waits for something, while its datagrams wait
wait_for_disk() {
	local index
	begin wait
	index=$(bucket_of wait 10.9.0.3)
	say WAIT 10.9.0.3
	ok "an instance that waits for long says that its exporters are with others" await 10 has_line "$tmp/wait-$index.log" 'has not read for [0-9]+ s, while datagrams wait'
	is "its bucket is empty" "$(ctl wait status --json | jq ".listeners[] | select(.name == \"nfacctd\") | .buckets[$index].live")" false
	like "status says why" "$(ctl wait status)" "^! pid [0-9]+ at bucket $index of nfacctd did not read for seconds"
	ok "when it is awake, it says so" await 15 has_line "$tmp/wait-$index.log" 'is awake again, after it did not read for more than 5 s'
	ok "reads what it had queued, and leaves" await 15 gone "$(pid_of wait "$index")"
	is "exporters in quarantine" "$(in_quarantine wait)" 0
	end wait 0
}

# One that does not run at all
stop_by_signal() {
	local victim
	begin stop
	victim=$(pid_of stop 1)
	kill -STOP "$victim"
	ok "an instance that is stopped: another one takes it out" await 10 logged stop "WARN .*: index 1, pid $victim, has not run for more than 5 s"
	like "status says why" "$(ctl stop status)" '^! pid [0-9]+ at bucket 1 of nfacctd did not run at all for seconds'
	sleep 1
	kill -CONT "$victim"
	ok "when it runs again, it says so" await 10 has_line "$tmp/stop-1.log" 'is awake again, after it did not run for more than 5 s'
	ok "reads what it had queued, and leaves" await 15 gone "$victim"
	end stop 0
}

# Nobody is accused who was merely in hand
accuse_nobody() {
	local n=1
	begin kill
	until [ "$(bucket_of kill 10.9.1.$n)" -eq 0 ]; do n=$((n + 1)); done
	say WAIT 10.9.1.$n
	sleep 0.5
	kill -SEGV "$(pid_of kill 0)"
	ok "a fatal signal of another process ends an instance" await 5 are_dead kill 1
	kill -KILL "$(pid_of kill 1)"
	ok "SIGKILL, too" await 5 are_dead kill 2
	ok "that is logged" await 5 logged kill 'ended by signal 11 .* had data of nobody in hand'
	is "exporters in quarantine" "$(in_quarantine kill)" 0
	end kill 2
}

# A router whose BMP session crashes whoever reads it
crash_by_session() {
	begin session
	connect_and_say CRSH 10.9.0.4 || true
	ok "a BMP message that crashes the instance" await 5 are_dead session 1
	like "its router is in quarantine" "$(ctl session status)" '^! 10\.9\.0\.4 is in quarantine'
	ok "which refuses its sessions" not connect_and_say CRSH 10.9.0.4
	sleep 1
	is "instances that ended" "$(dead session)" 1
	end session 1
}

# Busy processes take the time of all CPUs: nobody is taken for one that hangs
bear_load() {
	local i
	begin load
	: >"$tmp/busy"
	# the instances have the priority of the busy ones
	for i in 0 1 2; do pgrep -P "$(pid_of load $i)" | xargs renice -n 0 -p "$(pid_of load $i)" >/dev/null; done
	for i in $(seq $((4 * $(nproc)))); do
		nice -n 10 sh -c 'while :; do :; done' &
		echo $! >>"$tmp/busy"
	done
	sleep 10
	while read -r i; do kill "$i"; done <"$tmp/busy"
	ok "beside $((4 * $(nproc))) busy processes on $(nproc) CPUs, nobody is taken out" not logged load 'has not read for|has not run for|does not come to an end'
	is "instances that ended" "$(dead load)" 0
	end load 0
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

make_daemon
crash_by_datagram
loop_by_datagram
wait_for_disk
stop_by_signal
accuse_nobody
crash_by_session
bear_load
start_stuck
done_testing
