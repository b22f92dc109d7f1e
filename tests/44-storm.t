#!/bin/sh
# A minute of kills, stops, starts, takeovers and resizes at random, without waiting for one to be through before the
# next: nothing is missing but what killed processes had queued, and at the end everybody is where nothing ever happened.
# STORM_SEED: another sequence. STORM_SECONDS: a longer one.
. "${0%/*}/lib.sh"
need_daemons
sandbox

seed=${STORM_SEED:-1}
seconds=${STORM_SECONDS:-60}
size=3

# of COUNT: the config that those who start from now on read
of() {
	config live 2100 "$1" "$by_slot" "nfacctd_templates_file: $tmp/templates.json" "reuseport_nonce: 42" \
		"reuseport_takeover: true"
}

# runs INDEX: whether there is a process that is not about to go
runs() {
	[ -f "$tmp/live-$1.pid" ] && kill -0 "$(pid_of live "$1")" 2>/dev/null
}

# others_read INDEX: whether the group can do without this one
others_read() {
	for other in $(seq 0 $((size - 1))); do
		if [ "$other" -ne "$1" ] && runs "$other" && is_up live "$other"; then return 0; fi
	done
	return 1
}

start_any() {
	start live "$1"
	pid_of live "$1" >>"$tmp/started"
}

# resize COUNT: and who starts from now on knows
resize() {
	"$reuseportctl" --pin-path "$bpffs/live" resize "$1" >/dev/null && of "$1" && size=$1
}

# act DICE INDEX: one thing that can be done with the index as it is; prints what
act() {
	if [ "$1" -ge 90 ]; then
		if [ "$size" -lt 5 ] && [ $(($1 % 2)) -eq 0 ]; then
			resize $((size + 1)) && echo grow
		elif [ "$size" -gt 2 ] && ! runs $((size - 1)) && resize $((size - 1)); then
			echo shrink
		fi
	elif ! runs "$2"; then
		start_any "$2"
		echo start
	elif [ "$1" -lt 30 ]; then
		start_any "$2"
		echo takeover
	elif ! others_read "$2"; then
		return
	elif [ "$1" -lt 60 ]; then
		crash live "$2"
		echo kill
	else
		kill -"$([ $(($1 % 2)) -eq 0 ] && echo TERM || echo INT)" "$(pid_of live "$2")"
		rm "$tmp/live-$2.pid"
		echo stop
	fi
}

of $size
start_all live $size
cat "$tmp"/live-*.pid >"$tmp/started"
watch_queues
began=$(date +%s%N)
traffic mixed 2100 slot=1000
sleep 2

# Dice, an index among the first 5, and tenths of a second
awk -v seed="$seed" 'BEGIN {srand(seed); for (;;) print int(rand() * 100), int(rand() * 5), int(rand() * 10)}' \
	2>/dev/null >"$tmp/dice" &
dice=$!
wait_for 5 [ -s "$tmp/dice" ]
sleep 0.2
kill $dice
: >"$tmp/acts"
while read -r roll index tenths; do
	[ "$(ms_since "$began")" -lt $((seconds * 1000)) ] || break
	act "$roll" $((index % size)) >>"$tmp/acts"
	sleep "0.$tenths"
done <"$tmp/dice"
acts=$(sort "$tmp/acts" | uniq -c | awk '{print $2, $1}' | paste -sd, | sed 's/,/, /g')
diag "seed $seed, $seconds s: $acts"
for act in kill stop start takeover grow shrink; do ok "the storm had at least one $act" grep -q "^$act$" "$tmp/acts"; done

if runs 4; then
	wait_for 20 is_up live 4
	stopped INT "$(pid_of live 4)"
	rm "$tmp/live-4.pid"
fi
resize 4
for i in 0 1 2 3; do runs $i || start_any $i; done
for i in 0 1 2 3; do wait_for 20 is_up live $i || die "index $i does not start: $(cat "$tmp/live-$i.log")"; done
is "after it the group has four buckets, each of them live" "$size" 4
sleep 3
traffic_ends
stop_all live
while read -r p; do wait_for 20 gone "$p" || die "pid $p does not end"; done <"$tmp/started"
queued=$(queues_lost)

missing live >"$tmp/missing"
sent=$(awk '{n += $3} END {print n}' "$tmp/sent")
lost=$(awk '$3 > 0 {n += $3} END {print n + 0}' "$tmp/missing")
kills=$(grep -c '^kill$' "$tmp/acts")
ok "of $sent flows sent, $lost lost: at most the $queued that $kills killed processes had queued, and one in the hands of each" \
	[ "$lost" -le $((queued + kills)) ]
counted_once
diag "of $sent flows sent, $lost lost; $kills killed processes had queued $queued"

last=$(awk '{if ($2 > last) last = $2} END {print last - 1}' "$tmp/sent")
received_by_slot live | awk -v slot="$last" '$2 == slot {print $1, $4}' | sort >"$tmp/after"
config calm 2101 4 "reuseport_nonce: 42"
start_all calm 4
for family in 4 6; do "$tools/exporter" netflow5 $family 2101 exporters=100 >/dev/null; done
stop_all calm
received calm | cut -d' ' -f1,2 | sort >"$tmp/calm"
ok "every exporter is where an undisturbed group has it" diff "$tmp/calm" "$tmp/after"
is "all of them" "$(wc -l <"$tmp/after")" 200
done_testing
