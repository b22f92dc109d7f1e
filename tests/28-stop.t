#!/bin/sh
# Stopping: an idle instance answers either signal, what is queued is read first, a second signal ends
# that, the group's lock is not waited for, and the pidfile that a successor wrote stays.
. "${0%/*}/lib/traffic.sh"
need_daemons
need flock jq
sandbox

# leave_idle MODE SIGNAL: an instance in the foreground, or a daemon, with nothing to read
leave_idle() {
	local what="$1, SIG$2" daemonize=false pid
	[ "$1" = foreground ] || daemonize=true
	config live 2100 1 "daemonize: $daemonize" "print_output_file[p]: $tmp/out.csv" "logfile: $tmp/live-0.log" \
		"pidfile: $tmp/live-0.pid"
	rm -f "$tmp/live-0.log"
	"$nfacctd" -f "$tmp/live.conf" -x 0 >"$tmp/err" 2>&1 &
	ok "$what: it starts" await 20 has_line "$tmp/live-0.log" joined
	await 20 is_up live 0
	pid=$(pid_of live 0)
	kill -"$2" "$pid"
	ok "$what: idle, with nothing to read, it leaves" await 20 has_line "$tmp/live-0.log" "reuseport: leaving"
	ok "$what: and is gone after upstream's pause" await 20 gone "$pid"
	ok "$what: without its pidfile" [ ! -e "$tmp/live-0.pid" ]
}

# fill_queue NAME PROTOCOL: fills the queue of an instance, which is held, not busy, with 2,000 datagrams
fill_queue() {
	kill -STOP "$(pid_of "$1" 0)"
	"$tools/exporter" "$2" 4 2100 exporters=100 ports=2 datagrams=10 >/dev/null
}

# leave_on_sigterm NAME: the instance that is held gets its signal, and is let go
leave_on_sigterm() {
	kill -TERM "$(pid_of "$1" 0)"
	kill -CONT "$(pid_of "$1" 0)"
}

drain_queue() {
	config queued 2100 1
	start_and_wait queued 0
	fill_queue queued netflow5
	leave_on_sigterm queued
	ok "with a full queue, it exits with 0" exits_with_0 "$(pid_of queued 0)"
	is "and has written all that was queued" "$(received queued | awk '{n += $3} END {print n}')" 2000
	like "and says how many that were after it left" "$(cat "$tmp/queued-0.log")" \
		'drained: handled (1[0-9]{3}|2000) more datagrams in [0-9]+ ms since it left'
}

# drain_after_ctrl_c: a terminal signals all processes of the group, plugins as well
drain_after_ctrl_c() {
	local core
	config terminal 2100 1
	run_daemon terminal 0 setsid "$nfacctd" -f "$tmp/terminal.conf" -x 0 -o "$tmp/terminal-0.csv"
	await 20 is_up terminal 0 || die "it does not start"
	fill_queue terminal netflow5
	core=$(pid_of terminal 0)
	kill -s INT -- "-$core"
	kill -CONT "$core"
	ok "Ctrl-C: it exits with 0" exits_with_0 "$core"
	is "Ctrl-C: and has written all that was queued" "$(received terminal | awk '{n += $3} END {print n}')" 2000
}

# leave_a_child: a trigger script that starts something, such as a daemon
leave_a_child() {
	config trigger 2100 1 "print_trigger_exec[p]: $tmp/trigger"
	printf '#!/bin/sh\nsleep 600 &\necho $! >%s\n' "$tmp/child" >"$tmp/trigger"
	chmod +x "$tmp/trigger"
	start_and_wait trigger 0
	"$tools/exporter" netflow5 4 2100 exporters=1 datagrams=1 >/dev/null
	await 10 queues_empty 2100
	ok "it does not wait for what a trigger script leaves in the background" stopped INT "$(pid_of trigger 0)"
	ok "which runs on" not gone "$(cat "$tmp/child")"
	kill "$(cat "$tmp/child")"
}

# leave_busy SIGNAL: one of two instances leaves while as much as can be sent arrives at both
leave_busy() {
	local exporters
	config busy 2100 2
	start_and_wait busy 0
	start_and_wait busy 1
	"$tools/exporter" netflow5 4 2100 datagrams=0 rate=1000000 >"$tmp/busy.sent" &
	exporters=$!
	await 20 has_datagrams || die "no datagrams arrive"
	kill -"$1" "$(pid_of busy 0)"
	ok "SIG$1, with as many datagrams as can be sent: it exits with 0" exits_with_0 "$(pid_of busy 0)"
	like "SIG$1: and has drained" "$(cat "$tmp/busy-0.log")" 'reuseport: drained: handled [0-9]+ more datagrams'
	ok "SIG$1: the exporters send on, to the other instance" sender_ends "$exporters" /dev/null
	stop_all busy
	ok "SIG$1: it has handed on what it read" [ "$(received busy | awk '$2 == 0 {n += $3} END {print n}')" -gt 0 ]
	rm "$tmp"/busy-?.csv
}

# has_datagrams: whether each instance has received some
has_datagrams() {
	"$reuseportctl" -p "$bpffs/busy" --json status | jq -e '[.listeners[0].buckets[].received > 0] == [true, true]' >/dev/null
}

# hurry: a second signal while the first one's drain goes on. Every datagram is one that nfacctd logs and discards, and its log is a
# pipe that is read up to the first of them after it left: the pipe holds 64 KiB, the lines are 150, and so the drain stands still
# until the pipe is read again.
hurry() {
	local pipe="$tmp/hurried.pipe" log="$tmp/hurried-0.log" reader
	config hurried 2100 1 "nfacctd_disable_checks: false"
	mkfifo "$pipe"
	# Between two readers a writer would get SIGPIPE
	exec 3<>"$pipe"
	# shellcheck disable=SC2016 # the inner shell's
	run_daemon hurried 0 sh -c 'exec "$@" >"$0" 2>&1' "$pipe" "$nfacctd" -f "$tmp/hurried.conf" -x 0 -o "$tmp/hurried-0.csv"
	sed -u '/reuseport: leaving/,${/discarding/q}' <"$pipe" >>"$log" &
	reader=$!
	await 20 is_up hurried 0 || die "it does not start"
	fill_queue hurried sflow
	leave_on_sigterm hurried
	await 20 gone "$reader" || die "it does not drain"
	ok "while it drains, something is queued" not queues_empty 2100
	like "and the kernel hands it nothing more: its socket is bound to a device that does not exist" \
		"$(ss -Huln 'sport = :2100')" '%if2147483647:2100'
	kill -INT "$(pid_of hurried 0)"
	cat <"$pipe" >>"$log" 3<&- &
	reader=$!
	exec 3<&-
	ok "a second signal ends it, with 0" exits_with_0 "$(pid_of hurried 0)"
	wait "$reader"
	like "and says what that means" "$(cat "$log")" 'not drained, on another signal: what is queued is lost'
}

# is_empty BUCKET: of the group "held", in which it is
is_empty() {
	"$reuseportctl" -p "$bpffs/held" --json --listener nfacctd status | jq -e ".listeners[0].buckets[$1].live | not" >/dev/null
}

# leave_without_the_lock: another process, which is stopped, has the group's lock. The instance reads on until it leaves without it: its buffer
# does not hold what comes in two seconds.
leave_without_the_lock() {
	local holder exporters
	config held 2100 2 "nfacctd_pipe_size: 400000"
	start_all held 2
	"$tools/exporter" netflow5 4 2100 exporters=100 datagrams=60 ports=1 rate=2000 >"$tmp/held.sent" &
	exporters=$!
	"$tools/member" "$object" "$bpffs/held" 2 0 protocol=tcp hold=60 >/dev/null &
	holder=$!
	await 10 not flock -n "$bpffs/held" true
	kill -STOP "$holder"
	kill -TERM "$(pid_of held 0)"
	ok "the lock is held by a process that is stopped: the instance leaves its bucket" await 20 is_empty 0
	ok "meanwhile that one holds the lock" not flock -n "$bpffs/held" true
	ok "it exits with 0" exits_with_0 "$(pid_of held 0)"
	ok "and says that it left without the lock" has_line "$tmp/held-0.log" "WARN .*another process has held the lock on $bpffs/held for more than 100 ms: leaving without it"
	kill -KILL "$holder"
	wait "$exporters"
	wait "$holder" 2>/dev/null || true
	rm "$tmp/held-0.pid"
	stop_all held
	received held >"$tmp/received"
	is "flows sent, and received" "$(cat "$tmp/held.sent") $(total_received)" "6000 6000"
}

# serves: whether instance "old" and its plugin do
serves() {
	has_line "$tmp/old-0.log" joined && has_line "$tmp/old-0.log" "waiting for data on: '$tmp/pipe'"
}

# be_replaced: with files that the successor makes anew
be_replaced() {
	local old
	config old 2100 1 "pidfile: $tmp/pidfile" "imt_path[p]: $tmp/pipe" "reuseport_takeover: true"
	sed -i 's/^plugins: .*/plugins: memory[p]/' "$tmp/old.conf"
	start old 0
	await 20 serves
	old=$(pid_of old 0)
	mv "$tmp/old-0.log" "$tmp/replaced.log"
	start old 0
	ok "a replaced instance exits with 0" exits_with_0 "$old"
	await 20 serves
	is "the pidfile is its successor's" "$(cat "$tmp/pidfile")" "$(pid_of old 0)"
	ok "and so is the socket of the memory plugin" quietly "$tree/src/pmacct" -s -p "$tmp/pipe"
	ok "the successor exits with 0" stopped INT "$(pid_of old 0)"
	await 20 [ ! -e "$tmp/pipe" ] || true
	is "and removes both" "$(ls "$tmp/pidfile" "$tmp/pipe" 2>/dev/null)" ""
}

for mode in foreground daemon; do
	leave_idle $mode INT
	leave_idle $mode TERM
done
drain_queue
drain_after_ctrl_c
leave_a_child
leave_busy INT
leave_busy TERM
leave_without_the_lock
hurry
be_replaced
done_testing
