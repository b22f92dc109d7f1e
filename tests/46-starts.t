#!/bin/sh
# Many instances start in the same instant: always one owner a bucket, one count, one nonce. Of two with the same index one
# wins, and the other says who. Those with the index 'auto' have one each, in their files' names, too. Killed at any point of starting
# they leave nothing that blocks the next.
. "${0%/*}/lib/daemons.sh"
need_daemons
need bpftool jq
sandbox

rounds=15
kills=21

set_up() {
	printf '%s\n' "bmp_daemon_port: 1790" "reuseport_hashbucket_count: 8" "reuseport_bpf_prog: $object" \
		"reuseport_pin_path: $bpffs/group" >"$tmp/pmbmpd.conf"
	config live 2100 3
	: >"$tmp/wrong"
	: >"$tmp/refused"
}

# ---- nine at once: 0 to 7, and index 7 twice ----

launch() {
	local n=0 i
	rm -f "$tmp"/start-*
	for i in 0 1 2 3 4 5 6 7 7; do
		n=$((n + 1))
		run_daemon start $n "$pmbmpd" -f "$tmp/pmbmpd.conf" -x $i
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
	local n
	for n in 1 2 3 4 5 6 7 8 9; do
		kill -KILL "$(pid_of start $n)" 2>/dev/null || true
		wait "$(pid_of start $n)" 2>/dev/null || true
	done
}

# expect WHAT COMMAND...: notes the round, if it does not hold
expect() {
	local what="$1"
	shift
	"$@" || echo "$what: in round $round" >>"$tmp/wrong"
}

start_together() {
	local joined
	launch
	expect "all nine join or are refused" await 20 all_decided
	joined=$(cat "$tmp"/start-*.log | grep -o 'joined .* as index [0-7] of 8 .*nonce [0-9]*' | sed 's/ (.*nonce/ nonce/' | sort)
	expect "eight join" [ "$(echo "$joined" | wc -l)" -eq 8 ]
	expect "each index has one owner" [ "$(echo "$joined" | grep -o 'index [0-7]' | sort -u | wc -l)" -eq 8 ]
	expect "all have the nonce of the map" [ "$(echo "$joined" | grep -o 'nonce .*' | sort -u)" = "nonce $(u32 nonce)" ]
	expect "the count is 8" [ "$(u32 size)" -eq 8 ]
	expect "the ninth says who has its index" grep -hq "index 7 is in use .* by pmbmpd.* pid [0-9]* at index 7" "$tmp"/start-*.log
	if [ -s "$tmp/wrong" ]; then diag "round $round: $(grep -h reuseport "$tmp"/start-*.log)"; fi
	finish
}

check_starts() {
	local what
	is "rounds of nine starts at once" "$round" $rounds
	for what in "all nine join or are refused" "eight join" "each index has one owner" "all have the nonce of the map" \
		"the count is 8" "the ninth says who has its index"; do
		is "nine at once: $what" "$(grep "^$what:" "$tmp/wrong" || true)" ""
	done
}

# ---- sixteen at once, with the index 'auto' ----

# start_auto "COMMAND..." N...: by that command, if any
start_auto() {
	local by="$1" n
	shift
	# shellcheck disable=SC2086 # words
	for n; do run_daemon auto "$n" $by "$pmbmpd" -f "$tmp/auto.conf" -x auto; done
}

# auto_joined N: whether so many have
auto_joined() {
	[ "$(cat "$tmp"/auto-*.log | grep -c 'listener bmp joined')" -eq "$1" ]
}

# auto_indexes: those that the running ones have joined with, in order
auto_indexes() {
	sed -n 's/.* as index \([0-9]*\) of 16.*/\1/p' "$tmp"/auto-*.log | sort -n | tr '\n' ' '
}

# kill_auto N...
kill_auto() {
	local n
	for n; do
		kill -KILL "$(pid_of auto "$n")"
		wait "$(pid_of auto "$n")" 2>/dev/null || true
		rm "$tmp/auto-$n.log"
	done
}

# start_without_numbers: all start when no instance reads, half of them again while the others do, each in PID and mount namespaces of its own, as in
# a container
start_without_numbers() {
	local all="0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 " wanted
	# shellcheck disable=SC2016 # pmacct's variable
	printf '%s\n' "bmp_daemon_port: 1791" "reuseport_hashbucket_count: 16" "reuseport_bpf_prog: $object" \
		"reuseport_pin_path: $bpffs/auto" 'pidfile: '"$tmp"'/auto-$index.of' >"$tmp/auto.conf"
	# shellcheck disable=SC2046 # numbers
	start_auto "" $(seq 16)
	ok "sixteen with index auto, at once: all join" await 20 auto_joined 16
	is "sixteen with index auto: each has one of its own" "$(auto_indexes)" "$all"
	is "and its name in its files" "$(cd "$tmp" && for n in $all; do cat auto-"$n".of; done | sort)" "$(cat "$tmp"/auto-*.pid | sort)"
	start_auto "" 17
	ok "a seventeenth is refused" await 10 has_line "$tmp/auto-17.log" 'no index is free in .*: each of the 16 is in use'
	rm "$tmp/auto-17.log"
	wanted=$(sed -n 's/.* as index \([0-9]*\) of 16.*/\1/p' "$tmp"/auto-[1-8].log | sort -n | tr '\n' ' ')
	kill_auto 1 2 3 4 5 6 7 8
	start_auto "unshare --mount --pid --fork --kill-child" 21 22 23 24 25 26 27 28
	ok "eight are killed; eight that start at once while the others read join" await 20 auto_joined 16
	is "they have the indexes that the eight had" "$(sed -n 's/.* as index \([0-9]*\) of 16.*/\1/p' "$tmp"/auto-2[1-8].log | sort -n | tr '\n' ' ')" "$wanted"
	# shellcheck disable=SC2046 # numbers
	kill_auto $(seq 9 16) $(seq 21 28)
}

# ---- killed while they start, a little later each time ----

# kill_starting: in the background, with its own processes
kill_starting() {
	local n=0 ms i
	while [ $n -lt $kills ]; do
		ms=$((n * 40)) n=$((n + 1))
		for i in 0 1 2; do start live $i; done
		sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
		for i in 0 1 2; do
			kill -KILL "$(pid_of live $i)" || echo "after $ms ms: $(tail -n 1 "$tmp/live-$i.log")" >>"$tmp/refused"
		done
		for i in 0 1 2; do wait "$(pid_of live $i)" 2>/dev/null || true; done
		echo "$n" >"$tmp/kills"
	done
}

check_kills() {
	local i
	is "kills of three instances that start" "$(cat "$tmp/kills")" $kills
	is "none of them ended before by itself" "$(cat "$tmp/refused")" ""
	for i in 0 1 2; do start live $i; done
	for i in 0 1 2; do
		ok "after $kills kills while starting, index $i starts" await 20 is_up live $i
		like "index $i is in its bucket" "$(cat "$tmp/live-$i.log")" "joined .* index $i of 3"
	done
	stop_all live
}

set_up
kill_starting &
killer=$!
for round in $(seq $rounds); do
	start_together
	[ ! -s "$tmp/wrong" ] || break
done
wait $killer
check_starts
start_without_numbers
check_kills
done_testing
