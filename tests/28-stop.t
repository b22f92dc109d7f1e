#!/bin/sh
# Stopping: an idle instance answers either signal, what is queued is read first, a second signal ends
# that, and the pidfile that a successor wrote stays.
. "${0%/*}/lib/daemons.sh"
need_daemons
sandbox

for mode in foreground daemon; do
	for signal in INT TERM; do
		config live 2100 1 "daemonize: $([ $mode = daemon ] && echo true || echo false)" \
			"print_output_file[p]: $tmp/out.csv" "logfile: $tmp/live-0.log" "pidfile: $tmp/pidfile"
		rm -f "$tmp/live-0.log"
		"$nfacctd" -f "$tmp/live.conf" -x 0 >"$tmp/err" 2>&1 &
		ok "$mode, SIG$signal: it starts" await 20 grep -qs joined "$tmp/live-0.log"
		await 20 grep -q 'waiting for NetFlow' "$tmp/live-0.log"
		sleep 0.5
		pid=$(cat "$tmp/pidfile")
		kill -$signal "$pid"
		ok "$mode, SIG$signal: idle, with nothing to read, it leaves" await 20 has_line "$tmp/live-0.log" "reuseport: leaving"
		ok "$mode, SIG$signal: and is gone after upstream's pause" await 20 gone "$pid"
		ok "$mode, SIG$signal: without its pidfile" [ ! -e "$tmp/pidfile" ]
	done
done

# A queue that has something: the instance was held, not busy
# held NAME: starts one, and fills its queue with 2,000 datagrams while it is held
held() {
	config "$1" 2100 1
	start_and_wait "$1" 0
	kill -STOP "$(pid_of "$1" 0)"
	"$tools/exporter" netflow5 4 2100 exporters=100 ports=2 datagrams=10 >/dev/null
}

held queued
kill -TERM "$(pid_of queued 0)"
kill -CONT "$(pid_of queued 0)"
ok "with a full queue, it exits with 0" exits_with_0 "$(pid_of queued 0)"
is "and has written all that was queued" "$(received queued | awk '{n += $3} END {print n}')" 2000
like "and says how many that were after it left" "$(cat "$tmp/queued-0.log")" \
	'drained: handled (1[0-9]{3}|2000) more datagrams in [0-9]+ ms since it left'

# A second signal, the moment that it has begun to drain; an emulated machine has drained before that
if [ "${SLOWER:-1}" -eq 1 ]; then
	held hurried
	kill -TERM "$(pid_of hurried 0)"
	kill -CONT "$(pid_of hurried 0)"
	# Without a pause: 20,000 looks are at least 20 seconds
	looks=0
	until has_line "$tmp/hurried-0.log" leaving; do
		looks=$((looks + 1))
		[ $looks -lt 20000 ] || die "it does not leave"
	done
	kill -INT "$(pid_of hurried 0)"
	ok "a second signal ends it, with 0" exits_with_0 "$(pid_of hurried 0)"
	like "and says what that means" "$(cat "$tmp/hurried-0.log")" \
		'not drained, on another signal: what is queued is lost'
fi

# Taken over, with files that its successor makes anew
config old 2100 1 "pidfile: $tmp/pidfile" "imt_path[p]: $tmp/pipe" "reuseport_takeover: true"
sed -i 's/^plugins: .*/plugins: memory[p]/' "$tmp/old.conf"
serves() {
	grep -q 'joined' "$tmp/old-0.log" && grep -q "waiting for data on: '$tmp/pipe'" "$tmp/old-0.log"
}
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
done_testing
