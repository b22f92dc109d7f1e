#!/bin/sh
# The units, run by a systemd: what an instance had queued when it was killed is read by the next one. Lost is what it had in its hands: at
# most one batch. Other instances serve its exporters meanwhile; without others, the socket that systemd keeps goes on to queue. An instance that is
# slow to start or to stop has more time than the unit gives, and one that hangs is started again.
. "${0%/*}/lib/systemd.sh"
need_traffic
need jq systemd systemctl
sandbox

# configure NAME PORT COUNT [LINE...]: as config; the output is where received_by_period looks for it
configure() {
	local name="$1"
	config "$@" "$by_period" "print_output_file[p]: $tmp/$name.csv" "nfacctd_templates_file: $tmp/$name.json"
}

# kill_main UNIT COUNT: SIGKILL for one of COUNT instances, and waits until the next process reads, and has read what that one had queued
kill_main() {
	local since
	was=$(main_of "$1") since=$(date +%s%N)
	kill -KILL "$was"
	if [ "$2" -gt 1 ]; then
		ok "$1: pid $was is killed, and its bucket is empty" await 30 not is_live "${1%@*}" "${1#*@}"
		diag "$1: its bucket was empty $(ms_since "$since") ms after SIGKILL, as seen every 100 ms"
	fi
	ok "$1: pid $was is killed; another one is started" await 30 restarted "$1" "$was"
	ok "$1: then systemd keeps the socket of that one alone" await 5 is_stored "$1" 1
}

# is_live NAME INDEX: whether the bucket of its listener nfacctd has a socket
is_live() {
	"$reuseportctl" --pin-path "$bpffs/$1" --json --listener nfacctd status | jq -e ".listeners[0].buckets[$2].live" >/dev/null
}

# is_stored UNIT N: whether systemd keeps so many sockets of it
is_stored() {
	[ "$(of "$1" NFileDescriptorStore)" -eq "$2" ]
}

# stop_units NAME COUNT: stops these, when they have read what is queued, and their plugins have written
stop_units() {
	local i
	for i in $(seq 0 $(($2 - 1))); do
		ok "$1@$i stops" quietly systemctl --user stop "$1@$i"
		is "$1@$i: its result; sockets that systemd keeps" "$(of "$1@$i" Result) $(of "$1@$i" NFileDescriptorStore)" "success 0"
	done
}

# inherited NAME INDEX: how many datagrams its processes have read from the sockets of those before them
inherited() {
	sed -n 's/.*has read the \([0-9]*\) datagrams that an instance before it had queued.*/\1/p' "$tmp/$1-$2.log" | awk '{n += $1} END {print n + 0}'
}

# One of three is killed three times, and once more after an upgrade
kill_one_of_three() {
	local i
	configure live 2100 3
	unit live
	for i in 0 1 2; do up live@$i; done
	start_traffic mixed 2100 period=50
	sleep 2
	for i in 1 2 3; do
		kill_main live@1 3
		ok "live@1: 'evict' has taken pid $was out of its bucket" has_line "$tmp/live-1.log" "^nfacctd: pid $was has ended, and its socket is out of bucket 1"
		sleep 2
	done
	ok "live@1: systemctl reload" quietly systemctl --user reload live@1
	ok "live@1: systemd keeps the socket of its successor alone" await 5 is_stored live@1 1
	kill_main live@1 3
	sleep 1
	stop_traffic
	await 20 queues_empty 2100 || true
	stop_units live 3
	lost_at_most live 4
	diag "live: $(inherited live 1) datagrams were in the sockets of the four"
}

# The only one: no other instance reads, so that its socket stays in its bucket and goes on to queue
kill_the_only_one() {
	configure single 2101 1 "nfacctd_pipe_size: 8000000"
	unit single
	up single@0
	rm -f "$tmp"/traffic.*.report
	start_sender traffic mixed 4 2101 exporters=20 rate=1000 period=50
	sleep 2
	kill_main single@0 1
	ok "single@0: its socket stayed in the bucket" not has_line "$tmp/single-0.log" 'is out of bucket'
	sleep 1
	stop_traffic
	await 20 queues_empty 2101 || true
	stop_units single 1
	at_least "datagrams that the next process has read from the socket of the one before" "$(inherited single 0)" 1000
	lost_at_most single 1
}

# What an exporter in quarantine has queued does not bring down the next one
kill_by_poison() {
	local i
	configure poison 2102 2
	unit poison "Environment=LD_PRELOAD=$tools/bad_apple.so"
	up poison@0
	up poison@1
	rm -f "$tmp"/traffic.*.report
	start_sender traffic mixed 4 2102 exporters=20 rate=1000 period=50
	sleep 1
	for i in 0 1; do kill -STOP "$(main_of poison@$i)"; done
	perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "10.9.0.1", PeerAddr => "127.0.0.1:2102");
		$s->send("CRSH    ") for 1 .. 1000'
	for i in 0 1; do kill -CONT "$(main_of poison@$i)"; done
	sleep 8
	stop_traffic
	is "1000 datagrams that crash who decodes them: instances that were started again" $(($(of poison@0 NRestarts) + $(of poison@1 NRestarts))) 1
	at_least "datagrams that the next process found in the old socket" $(($(inherited poison 0) + $(inherited poison 1))) 300
	await 20 queues_empty 2102 || true
	stop_units poison 2
	lost_at_most poison 1
}

# stop_at_work PID: stops the process while it is in no system call, which takes many tries, as it sleeps most of the time
stop_at_work() {
	local n
	for n in $(seq 1 2000); do
		if stops_at_work "$1"; then return; fi
		sleep 0.013
	done
	return 1
}

# stops_at_work PID: stops the process; succeeds if it is in no system call then, and lets it go on otherwise
stops_at_work() {
	kill -STOP "$1"
	await 5 grep -q '^State:.T' "/proc/$1/status"
	grep -q '^-1 ' "/proc/$1/syscall" && return
	kill -CONT "$1"
	return 1
}

# A plugin has not read what its core has handed to it when that is killed: it reads its ring first, and then writes
kill_beside_a_full_ring() {
	local plugin
	configure ring 2104 2 "plugin_pipe_size: 64000000"
	unit ring
	up ring@0
	up ring@1
	rm -f "$tmp"/traffic.*.report
	start_sender traffic mixed 4 2104 exporters=20 rate=10000 period=50
	sleep 1
	plugin=$(pgrep -P "$(main_of ring@1)")
	ok "ring@1: its plugin is stopped while it reads its ring" stop_at_work "$plugin"
	sleep 0.5
	kill_main ring@1 2
	# the kernel may have done so: the plugin is a process group of its own, and its parent is gone
	kill -CONT "$plugin" 2>/dev/null || true
	ok "ring@1: and ends when it has written" await 20 gone "$plugin"
	sleep 1
	stop_traffic
	await 20 queues_empty 2104 || true
	stop_units ring 2
	ok "ring@1: its plugin has noticed the end of its core" has_line "$tmp/ring-1.log" 'the core has ended. Writing what there is'
	lost_at_most ring 1
}

# offer_late FIFO SECONDS LINE: from then on, the line is there for each who reads
offer_late() {
	trap '' PIPE
	sleep "$2"
	while :; do echo "$3" >"$1" 2>/dev/null || true; done
}

# hold_file FILE: has it locked, as who writes to it does, until this process ends; FILE.held says since when
hold_file() {
	exec perl -MFcntl -e 'open my $file, ">>", $ARGV[0] or die; my $lock = pack "s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0;
		fcntl $file, F_SETLK, $lock or die; open my $held, ">", "$ARGV[0].held"; sleep 600' "$1"
}

# A start that waits for its map, and a stop whose plugin waits for its file, take longer than the unit's timeouts. The watchdog does not take
# them for hanging, nor an instance that has run for longer than it waits.
take_long() {
	local writer holder
	configure long 2105 1 "pre_tag_map: $tmp/long.map"
	mkfifo "$tmp/long.map"
	unit long TimeoutStartSec=4 TimeoutStopSec=4 WatchdogSec=8
	offer_late "$tmp/long.map" 12 "set_tag=1 ip=0.0.0.0/0" &
	writer=$!
	up long@0
	kill $writer
	rm -f "$tmp"/traffic.*.report
	start_sender traffic mixed 4 2105 exporters=20 rate=1000 period=50
	sleep 12
	stop_traffic
	await 20 queues_empty 2105 || true
	hold_file "$tmp/long-0.csv" &
	holder=$!
	ok "long@0: its plugin cannot write" await 10 [ -e "$tmp/long-0.csv.held" ]
	(sleep 15 && kill $holder && touch "$tmp/released") &
	stop_units long 1
	ok "long@0: not before its plugin could write" [ -e "$tmp/released" ]
	is "long@0: restarts" "$(of long@0 NRestarts)" 0
	lost_at_most long 0
}

# An instance that hangs is started again, whoever else is there
hang() {
	configure hang 2106 1
	unit hang "Environment=LD_PRELOAD=$tools/bad_apple.so BAD_APPLE_WAIT=600" WatchdogSec=10
	up hang@0
	was=$(main_of hang@0)
	sleep 12
	is "hang@0: has done nothing for longer than the watchdog waits: runs on" "$(main_of hang@0)" "$was"
	perl -MIO::Socket::INET -e 'IO::Socket::INET->new(Proto => "udp", PeerAddr => "127.0.0.1:2106")->send("WAIT    ")'
	ok "hang@0: its main thread does not come round any more: another process is started" await 60 restarted hang@0 "$was"
	ok "hang@0: by the SIGABRT of a watchdog, which accuses no exporter" \
		has_line "$tmp/hang-0.log" "index 0, pid $was, ended by signal 6 .* had data of nobody in hand"
	ok "hang@0: systemctl reload" quietly systemctl --user reload hang@0
	was=$(main_of hang@0)
	sleep 15
	is "hang@0: the watchdog, of which systemd does not tell what a reload has started, knows that it is well" "$(main_of hang@0)" "$was"
	stop_units hang 1
}

# metrics PIN-PATH: runs the unit for that group
metrics() {
	sed "s|@sbindir@/reuseportctl|& -p $1|; s|@sbindir@|$tmp/sbin|; s|=/run|=$XDG_RUNTIME_DIR|; /^User=/,\$d" "$root/systemd/reuseport-metrics.service.in" >"$tmp/units/metrics.service"
	systemctl --user daemon-reload
	systemctl --user start metrics
}

# The metrics of a group; and of none, when the old ones must not stay
write_metrics() {
	local dir="$XDG_RUNTIME_DIR/reuseport-metrics"
	ok "metrics: of a group without a live instance" quietly metrics "$bpffs/hang"
	is "metrics: what is written" "$(ls "$dir") $(grep -c '^reuseport_bucket_live.* 0$' "$dir/reuseport.prom")" "reuseport.prom 1"
	is "metrics: exporters are the last" "$(sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' "$dir/reuseport.prom" | tail -n 3 | paste -sd' ')" \
		"reuseport_exporter_datagrams_total reuseport_exporter_bytes_total reuseport_exporter_last_seen_timestamp_seconds"
	ok "metrics: of no group: the unit fails" not metrics "$bpffs/none" 2>/dev/null
	is "metrics: none are left" "$(ls "$dir") $(cat "$dir/reuseport.prom")" "reuseport.prom "
}

# A stop in the middle of an upgrade: nothing of the instance runs on
stop_in_upgrade() {
	local reload
	configure upgrade 2103 1
	unit upgrade
	up upgrade@0
	mkfifo "$tmp/fifo"
	echo "pre_tag_map: $tmp/fifo" >>"$tmp/upgrade.conf"
	systemctl --user reload upgrade@0 2>/dev/null &
	reload=$!
	await 10 sh -c "[ \$(pgrep -fc '$tmp/sbin/nfacctd.*upgrade-0.conf') -ge 2 ]" || true
	ok "upgrade@0 stops, while its successor starts" quietly systemctl --user stop upgrade@0
	wait $reload || true
	is "processes of it that are left" "$(pgrep -fc "$tmp/sbin/nfacctd.*upgrade-0.conf" || true)" 0
}

start_systemd
kill_one_of_three
kill_the_only_one
kill_by_poison
kill_beside_a_full_ring
take_long
hang
write_metrics
stop_in_upgrade
done_testing
