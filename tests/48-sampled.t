#!/bin/sh
# Exporters that sample 1:1000 and say so once, after their start, in each of the ways that pmacct knows: all of their packets are
# counted, whatever becomes of the instances. What SIGKILL throws away is thrown away 1000 times.
. "${0%/*}/lib/traffic.sh"
need_traffic
sandbox

configure() {
	config live 2100 "$1" "$by_period" "nfacctd_renormalize: true" "reuseport_takeover: true" "reuseport_nonce: 42"
}

set_up() {
	configure 3
	start_all live 3
	watch_queues
	start_traffic mixed 2100 exporters=60 rate=3000 sampled=mixed templates=1000000 period=100
	began=$(date +%s%N)
	await 10 all_learnt live 80
}

# phase WORDS: what happens from now on, as the table below has it
phase() {
	echo "$(ms_since "$began") $*" >>"$tmp/phases"
	sleep 1
}

stop_and_start() {
	phase "stop, failover"
	ok "index 0 stops" stopped INT "$(pid_of live 0)"
	sleep 1
	phase "start, return"
	start_and_wait live 0
}

take_over() {
	local old
	old=$(pid_of live 1)
	phase "takeover"
	start_and_wait live 1
	ok "index 1 is taken over" exits_with_0 "$old"
}

kill_and_start() {
	phase "SIGKILL, failover"
	crash live 2
	sleep 1
	phase "start after it, return"
	start_and_wait live 2
}

grow_and_shrink() {
	phase "growth"
	"$reuseportctl" --pin-path "$bpffs/live" resize 4 >/dev/null
	configure 4
	start_and_wait live 3
	phase "shrinking"
	ok "index 3 stops" stopped TERM "$(pid_of live 3)"
	rm "$tmp/live-3.pid"
	"$reuseportctl" --pin-path "$bpffs/live" resize 3 >/dev/null
	configure 3
}

override() {
	local prefix
	phase "override add"
	for prefix in 10.0.0.0/26 2001:db8::/122; do "$reuseportctl" --pin-path "$bpffs/live" override add $prefix 1; done
	phase "override delete"
	for prefix in 10.0.0.0/26 2001:db8::/122; do "$reuseportctl" --pin-path "$bpffs/live" override delete $prefix; done
	phase "afterwards"
}

# sum_phases: what was sent and lost in each phase, by protocol, goes to $tmp/sums, lines "sent lost protocol phase". The exporters' clock
# starts a little before or after $began.
sum_phases() {
	awk 'FILENAME ~ /phases$/ {from[n] = $1; sub(/^[0-9]+ /, ""); words[n++] = $0; next}
		{p = -1; while (p + 1 < n && from[p + 1] < $2 * 100) p++; protocols[$4]}
		FILENAME ~ /sent$/ {sent[p, $4] += $3}
		FILENAME ~ /missing$/ && $3 > 0 {lost[p, $4] += $3}
		END {for (p = -1; p < n; p++) for (protocol in protocols)
			printf "%d %d %s %s\n", sent[p, protocol], lost[p, protocol], protocol, p < 0 ? "before" : words[p]}' \
		"$tmp/phases" "$tmp/sent" "$tmp/missing" >"$tmp/sums"
	awk '{phase = $4; for (i = 5; i <= NF; i++) phase = phase " " $i
		printf "# %-24s %-9s %9d packets, %d lost\n", phase, $3, $1, $2}' "$tmp/sums"
}

# lost_in REGEX: packets, in the phases that match
lost_in() {
	awk -v phase="$1" '$0 ~ phase {n += $2} END {print n + 0}' "$tmp/sums"
}

# What a killed process had queued was sent in the second before, which is of the same phase
check_losses() {
	local lost
	missing live >"$tmp/missing"
	sum_phases
	is "10 phases, in which each protocol sent" "$(awk '$1 > 0 && $4 != "before"' "$tmp/sums" | wc -l)" 30
	is "packets lost in the phases without SIGKILL" "$(awk '!/SIGKILL/ && $2' "$tmp/sums")" ""
	lost=$(lost_in SIGKILL)
	ok "$lost packets lost at SIGKILL: those of the $queued datagrams that the kernel threw away, and of at most $batch that the core had" \
		[ "$lost" -le $(((queued + batch) * 1000)) ]
	is "packets that were not counted 1000 times" "$(awk '$3 % 1000' "$tmp/missing")" ""
	counted_once
}

set_up
stop_and_start
take_over
kill_and_start
grow_and_shrink
override
stop_traffic
stop_all live
queued=$(queues_lost)
check_losses
done_testing
