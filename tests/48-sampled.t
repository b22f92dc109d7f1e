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

# show_phases: what was sent and lost in each phase, by protocol. The exporters' clock starts a little before $began.
show_phases() {
	awk 'FILENAME ~ /phases$/ {from[n] = $1; sub(/^[0-9]+ /, ""); words[n++] = $0; next}
		{p = -1; while (p + 1 < n && from[p + 1] < $2 * 100) p++; kind = FILENAME ~ /sent$/ ? "sent" : "lost"; sum[kind, p, $4] += $3; protocols[$4]}
		END {for (p = -1; p < n; p++) for (protocol in protocols)
			printf "# %-24s %-9s %9d packets, %d lost\n", p < 0 ? "before" : words[p], protocol, sum["sent", p, protocol], sum["lost", p, protocol]}' \
		"$tmp/phases" "$tmp/sent" "$tmp/missing"
}

check_losses() {
	local lost
	missing live >"$tmp/missing"
	show_phases
	lost=$(total_lost)
	ok "$lost packets lost: those of the $queued datagrams that the kernel threw away at SIGKILL, and of at most $batch that the core had" \
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
