#!/bin/sh
# An instance is killed under load: but for what it had queued nothing is lost, the survivors share its exporters, and
# after its next start all of them are back.
. "${0%/*}/lib/traffic.sh"
need_traffic
sandbox

# of one period, in which a flow was sent
ms=50

set_up() {
	config live 2100 3 "$by_period" "reuseport_nonce: 42"
	start_all live 3
	watch_queues
	began=$(date +%s%N)
	start_traffic mixed 2100 period=$ms
	sleep 3
}

# kill_and_restart: index 1 is not there from $killed to $back, in milliseconds since $began
kill_and_restart() {
	crash live 1
	killed=$(((killed_at - began) / 1000000))
	sleep 2
	back=$(ms_since "$began")
	start_and_wait live 1
	sleep 2
}

# The exporters count periods from their own start, which is a little after $began: what is taken for a period after the kill
# is later than it has to be.
check_losses() {
	local late lost from=$((killed / ms + 2))
	missing live >"$tmp/missing"
	late=$(total_lost $from) lost=$(total_lost)
	at_least "flows sent from $ms ms after the kill on" "$(total_sent $from)" 30000
	is "of $(total_sent $from) flows sent from $ms ms after the kill on, lost" "$late" 0
	ok "$lost lost in all; the kernel threw away $queued that were queued, and the core had at most $batch in its hands" \
		[ "$lost" -le $((queued + batch)) ]
	diag "SIGKILL: $(total_sent $from) flows sent from $ms ms after it on, $late lost; before that $lost, of which $queued were queued"
}

# places_between FROM TO: who was where in these periods, lines "exporter index"
places_between() {
	awk -v from="$1" -v to="$2" '$2 >= from && $2 < to {print $1, $4}' "$tmp/received" | sort -u
}

check_places() {
	local last shares
	last=$(awk '$2 > n {n = $2} END {print n}' "$tmp/sent")
	received_by_period live >"$tmp/received"
	# Half a second before the kill, as the exporters start later than $began
	places_between 0 $((killed / ms - 10)) >"$tmp/before"
	places_between $((killed / ms + 2)) $((back / ms - 2)) >"$tmp/during"
	places_between $((last - 20)) $((last + 1)) >"$tmp/after"
	is "before the kill, each of 200 exporters had one instance" "$(wc -l <"$tmp/before")" 200
	is "while index 1 was dead, each of them had one instance" "$(wc -l <"$tmp/during")" 200
	ok "the exporters of the others stayed where they were" [ -z "$(grep -v ' 1$' "$tmp/before" | comm -23 - "$tmp/during")" ]
	shares=$(comm -13 "$tmp/before" "$tmp/during" | cut -d' ' -f2 | sort | uniq -c | awk '{print $1}' | paste -sd' ')
	ok "the two survivors shared those of index 1, neither with twice as many as the other: $shares" shared_evenly "$shares"
	ok "after its start all exporters are where they were" diff "$tmp/before" "$tmp/after"
}

# shared_evenly SHARES: with this nonce it is the same in every run
shared_evenly() {
	awk -v n="$1" 'BEGIN {split(n, share, " "); exit !(share[1] > 0 && share[2] > 0 && share[1] < 2 * share[2] && share[2] < 2 * share[1])}'
}

set_up
kill_and_restart
stop_traffic
stop_all live
queued=$(queues_lost)
check_losses
check_places
done_testing
