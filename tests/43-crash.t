#!/bin/sh
# An instance is killed under load: but for what it had queued nothing is lost, the survivors share its exporters, and
# after its next start everybody is home.
. "${0%/*}/lib.sh"
need_daemons
sandbox

config live 2100 3 "$by_slot" "nfacctd_templates_file: $tmp/templates.json" "reuseport_nonce: 42"
start_all live 3
watch_queues
began=$(date +%s%N)
traffic mixed 2100 slot=50
sleep 3

killed=$(ms_since "$began")
crash live 1
sleep 2
gone=$(ms_since "$began")
start_and_wait live 1
sleep 2
traffic_ends
stop_all live
queued=$(queues_lost)

# A slot counts from the exporters' start, which is a little after $began: so these are later than they have to be
missing live >"$tmp/missing"
late=$(awk -v from=$((killed / 50 + 2)) '$2 >= from && $3 > 0 {n += $3} END {print n + 0}' "$tmp/missing")
sent=$(awk -v from=$((killed / 50 + 2)) '$2 >= from {n += $3} END {print n + 0}' "$tmp/sent")
is "of $sent flows sent from 50 ms after the kill on, lost" "$late" 0
lost=$(awk '$3 > 0 {n += $3} END {print n + 0}' "$tmp/missing")
ok "$lost lost in all; the kernel threw away $queued that were queued, one more was in the core's hands" \
	[ "$lost" -le $((queued + 1)) ]
diag "SIGKILL: $sent flows sent from 50 ms after it on, $late lost; before that $lost, of which $queued were queued"

received_by_slot live >"$tmp/received"
awk -v to=$((killed / 50 - 2)) '$2 < to {print $1, $4}' "$tmp/received" | sort -u >"$tmp/before"
awk -v from=$((killed / 50 + 2)) -v to=$((gone / 50 - 2)) '$2 >= from && $2 < to {print $1, $4}' "$tmp/received" |
	sort -u >"$tmp/during"
last=$(awk '{if ($2 > last) last = $2} END {print last}' "$tmp/sent")
awk -v from=$((last - 20)) '$2 >= from {print $1, $4}' "$tmp/received" | sort -u >"$tmp/after"
is "before, each exporter had one instance" "$(wc -l <"$tmp/before")" 200
is "and while index 1 was dead" "$(wc -l <"$tmp/during")" 200
ok "those of the others stayed" [ -z "$(grep -v ' 1$' "$tmp/before" | comm -23 - "$tmp/during")" ]
orphans=$(comm -13 "$tmp/before" "$tmp/during" | cut -d' ' -f2 | sort | uniq -c | awk '{print $1}' | tr '\n' ' ')
ok "its own were shared by the two survivors, evenly: $orphans" \
	awk -v n="$orphans" 'BEGIN {split(n, share, " "); exit !(share[1] > 0 && share[2] > 0 && share[1] < 2 * share[2] && share[2] < 2 * share[1])}'
ok "after its start everybody is home" diff "$tmp/before" "$tmp/after"
done_testing
