#!/bin/sh
# Many instances start in the same instant: always one owner a bucket, one count, one seed. Of two with the same index one
# wins, and the other says who. Killed at any point of starting they leave nothing that blocks the next.
. "${0%/*}/lib.sh"
need_daemons
sandbox

rounds=50
printf '%s\n' "bmp_daemon_port: 1790" "reuseport_hashbucket_count: 8" "reuseport_bpf_prog: $object" \
	"reuseport_pin_path: $bpffs/group" >"$tmp/pmbmpd.conf"

# Nine at once: 0 to 7, and index 7 twice
launch() {
	rm -f "$tmp"/start-*
	n=0
	for i in 0 1 2 3 4 5 6 7 7; do
		n=$((n + 1))
		"$pmbmpd" -f "$tmp/pmbmpd.conf" -x $i >"$tmp/start-$n.log" 2>&1 &
		echo $! >>"$tmp/start-pids"
	done
}

# all_decided: whether each of the nine has joined or refused
all_decided() {
	[ "$(cat "$tmp"/start-*.log | grep -cE 'reuseport: (listener bmp joined|reuseport_hashbucket_index 7 is in use)')" -eq 9 ]
}

# u32 MAP: what a map of one number holds
u32() {
	bpftool -j map dump pinned "$bpffs/group/$1" | jq -c '.[0].formatted.value // .[0].value'
}

# finish: kills what is left of them, and waits
finish() {
	while read -r p; do kill -KILL "$p" 2>/dev/null || true; done <"$tmp/start-pids"
	while read -r p; do wait "$p" 2>/dev/null || true; done <"$tmp/start-pids"
}

slowest=0 bad=0
for round in $(seq $rounds); do
	since=$(date +%s%N)
	launch
	wait_for 20 all_decided || bad=$((bad + 1))
	took=$(ms_since "$since")
	[ "$took" -le "$slowest" ] || slowest=$took
	joined=$(cat "$tmp"/start-*.log | grep -o 'joined .* as index [0-7] of 8 .*nonce [0-9]*' | sed 's/ (.*nonce/ nonce/' | sort)
	[ "$(echo "$joined" | wc -l)" -eq 8 ] || bad=$((bad + 1))
	[ "$(echo "$joined" | grep -o 'index [0-7]' | sort -u | wc -l)" -eq 8 ] || bad=$((bad + 1))
	[ "$(echo "$joined" | grep -o 'nonce .*' | sort -u)" = "nonce $(u32 nonce)" ] || bad=$((bad + 1))
	[ "$(u32 size)" -eq 8 ] || bad=$((bad + 1))
	grep -hq "index 7 is in use .* by pmbmpd.* pid [0-9]* at index 7" "$tmp"/start-*.log || bad=$((bad + 1))
	if [ $bad -gt 0 ]; then
		diag "round $round: $(grep -h reuseport "$tmp"/start-*.log)"
		break
	fi
	finish
done
is "$rounds times 8 at once, and a ninth with an index of theirs: what is wrong" "$bad" 0
diag "$rounds times 9 starts at once: one owner a bucket, one count, one seed; the slowest took $slowest ms"

# Killed while they start, a little later each time
config live 2100 3
for ms in $(seq 0 20 800); do
	for i in 0 1 2; do start live $i; done
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
	for i in 0 1 2; do kill -KILL "$(pid_of live $i)"; done
	for i in 0 1 2; do wait "$(pid_of live $i)" 2>/dev/null || true; done
done
since=$(date +%s%N)
start_all live 3
for i in 0 1 2; do like "after 41 kills while starting, index $i starts" "$(cat "$tmp/live-$i.log")" "joined .* index $i of 3"; done
diag "after 41 kills while starting, 3 instances start in $(ms_since "$since") ms"
stop_all live
done_testing
