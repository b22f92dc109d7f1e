#!/bin/sh
# Stopping: an idle instance answers either signal within a second, what is queued is read first, a second signal ends
# that, and the pidfile that a successor wrote stays.
. "${0%/*}/lib/daemons.sh"
need_daemons
sandbox

# left_within MS: whether the instance says in time that it leaves
left_within() {
	since=$(date +%s%N)
	until grep -q "reuseport: leaving" "$tmp/live-0.log"; do
		[ "$(ms_since "$since")" -lt "$1" ] || return 1
		sleep 0.02
	done
}

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
		ok "$mode, SIG$signal: idle, it leaves within a second" left_within 1000
		ok "$mode, SIG$signal: and is gone after upstream's pause" await 5 gone "$pid"
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
ok "with a full queue, it exits with 0" wait "$(pid_of queued 0)"
is "and has written all that was queued" "$(received queued | awk '{n += $3} END {print n}')" 2000
like "and says how many that were after it left" "$(cat "$tmp/queued-0.log")" \
	'drained: handled (1[0-9]{3}|2000) more datagrams in [0-9]+ ms since it left'

# A second signal, the moment that it has begun to drain; an emulated machine has drained before that
if [ "${SLOWER:-1}" -eq 1 ]; then
	held hurried
	kill -TERM "$(pid_of hurried 0)"
	kill -CONT "$(pid_of hurried 0)"
	until grep -q leaving "$tmp/hurried-0.log"; do :; done
	kill -INT "$(pid_of hurried 0)"
	ok "a second signal ends it, with 0" wait "$(pid_of hurried 0)"
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
ok "a replaced instance exits with 0" wait "$old"
await 20 serves
is "the pidfile is its successor's" "$(cat "$tmp/pidfile")" "$(pid_of old 0)"
ok "and so is the socket of the memory plugin" quietly "$tree/src/pmacct" -s -p "$tmp/pipe"
ok "the successor exits with 0" stopped INT "$(pid_of old 0)"
await 5 [ ! -e "$tmp/pipe" ] || true
is "and removes both" "$(ls "$tmp/pidfile" "$tmp/pipe" 2>/dev/null)" ""
done_testing
