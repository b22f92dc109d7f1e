#!/bin/sh
# The group grows from 2 to 3 and 4 instances and shrinks back under load: nothing is lost, and no more exporters move
# than have to. The seed is fixed, since 200 exporters scatter by more than the tenth that is allowed here.
. "${0%/*}/lib.sh"
need_daemons
sandbox

# of COUNT: the config, and nobody but those that start later reads it
of() {
	config live 2100 "$1" "$by_slot" "nfacctd_templates_file: $tmp/templates.json" "reuseport_nonce: 42"
}

resize() {
	"$reuseportctl" --pin-path "$bpffs/live" resize "$1"
}

began=$(date +%s)
# mark: a second of traffic in which nothing changes; its number goes to $mark, to be compared with another's
mark() {
	sleep 3
	mark=$(($(date +%s) - began - 2))
	sleep 1
}

# where SLOT: who was where then, lines "exporter index"
where() {
	awk -v slot="$1" '$2 == slot {print $1, $4}' "$tmp/received" | sort
}

of 2
start_all live 2
began=$(date +%s)
traffic mixed 2100 slot=1000
mark
marks=$mark
for n in 3 4; do
	like "the group grows to $n" "$(resize $n 2>&1)" "$bpffs/live: $n buckets, $((n - 1)) before"
	of $n
	start_and_wait live $((n - 1))
	mark
	marks="$marks $mark"
done
like "a bucket in use is not cut off" "$(resize 3 2>&1 || true)" \
	"cannot shrink .* to 3 buckets: a bucket beyond is in use by nfacctd.* pid $(pid_of live 3) at index 3"
for n in 3 2; do
	ok "index $n leaves" stopped INT "$(pid_of live $n)"
	rm "$tmp/live-$n.pid"
	like "the group shrinks to $n" "$(resize $n 2>&1)" "$bpffs/live: $n buckets, $((n + 1)) before"
	mark
	marks="$marks $mark"
done

traffic_ends
stop_all live
nothing_lost live

received_by_slot live >"$tmp/received"
# shellcheck disable=SC2086 # words
set -- $marks
for n in 2 3; do
	where "$1" >"$tmp/before"
	where "$2" >"$tmp/after"
	is "all exporters are seen before and after" "$(cut -d' ' -f1 "$tmp/before" "$tmp/after" | sort | uniq -d | wc -l)" 200
	moved=$(comm -13 "$tmp/before" "$tmp/after" | wc -l)
	ok "$n to $((n + 1)): $moved of 200 exporters moved, at most $((220 / (n + 1)))" [ "$moved" -le $((220 / (n + 1))) ]
	diag "$n to $((n + 1)): $moved of 200 exporters moved, at least $((200 / (n + 1))) had to"
	is "those to the newcomer" "$(comm -13 "$tmp/before" "$tmp/after" | cut -d' ' -f2 | sort -u)" "$n"
	shift
done
where "${marks%% *}" >"$tmp/before"
where "${marks##* }" >"$tmp/after"
ok "at the end every exporter is where it was at the start" diff "$tmp/before" "$tmp/after"
done_testing
