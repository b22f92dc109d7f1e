#!/bin/sh
# The group grows from 2 to 3 and 4 instances and shrinks back under load, and one of the 4 is drained meanwhile: nothing is lost, and no
# more exporters move than have to. The nonce is fixed, since 200 exporters scatter by more than the tenth that is allowed here.
. "${0%/*}/lib/traffic.sh"
need_traffic
sandbox

# configure COUNT: the config of those that start from now on
configure() {
	config live 2100 "$1" "$by_period" "reuseport_nonce: 42"
}

resize() {
	"$reuseportctl" --pin-path "$bpffs/live" resize "$1"
}

# quiet_second: lets a second of traffic go by in which nothing changes; its number goes to $marks. It is the second after next,
# as the exporters' clock started up to a second after $began.
quiet_second() {
	local now
	now=$(($(date +%s) - began))
	marks="${marks:-} $((now + 2))"
	await 10 eval "[ \$((\$(date +%s) - $began)) -ge $((now + 4)) ]"
}

# places_in SECOND: who was where then, lines "exporter index"
places_in() {
	awk -v second="$1" '$2 == second {print $1, $4}' "$tmp/received" | sort
}

grow_to() {
	like "the group grows to $1" "$(resize "$1" 2>&1)" "$bpffs/live: $1 buckets, $(($1 - 1)) before"
	configure "$1"
	start_and_wait live $(($1 - 1))
	quiet_second
}

shrink_to() {
	ok "index $1 leaves" stopped INT "$(pid_of live "$1")"
	rm "$tmp/live-$1.pid"
	like "the group shrinks to $1" "$(resize "$1" 2>&1)" "$bpffs/live: $1 buckets, $(($1 + 1)) before"
	quiet_second
}

refuse_to_shrink() {
	like "a bucket in use is not cut off" "$(resize 3 2>&1 || true)" \
		"cannot shrink .* to 3 buckets: a bucket beyond is in use by nfacctd.* pid $(pid_of live 3) at index 3"
}

# drain_and_undrain: index 1, which runs on
drain_and_undrain() {
	ok "index 1 is drained" quietly "$reuseportctl" --pin-path "$bpffs/live" drain 1
	quiet_second
	ok "and undrained" quietly "$reuseportctl" --pin-path "$bpffs/live" undrain 1
	quiet_second
}

# check_drain BEFORE DURING AFTER: who moved when index 1 was drained
check_drain() {
	places_in "$1" >"$tmp/before"
	places_in "$2" >"$tmp/during"
	places_in "$3" >"$tmp/after"
	is "drained: all exporters are seen before and meanwhile" \
		"$(cut -d' ' -f1 "$tmp/before" "$tmp/during" | sort | uniq -d | wc -l)" 200
	at_least "index 1 had exporters" "$(grep -c ' 1$' "$tmp/before")" 20
	is "and has none" "$(grep -c ' 1$' "$tmp/during" || true)" 0
	is "those of the others stay where they are" "$(comm -23 "$tmp/before" "$tmp/during" | cut -d' ' -f2 | sort -u)" 1
	ok "undrained: every exporter is where it was" diff "$tmp/before" "$tmp/after"
}

# check_move FROM BEFORE AFTER: who moved when FROM buckets became one more, between these two seconds
check_move() {
	local n=$(($1 + 1)) moved
	places_in "$2" >"$tmp/before"
	places_in "$3" >"$tmp/after"
	is "$1 to $n: all exporters are seen before and after" \
		"$(cut -d' ' -f1 "$tmp/before" "$tmp/after" | sort | uniq -d | wc -l)" 200
	moved=$(comm -13 "$tmp/before" "$tmp/after" | wc -l)
	ok "$1 to $n: $moved of 200 exporters moved, at most $((220 / n))" [ "$moved" -le $((220 / n)) ]
	is "$1 to $n: those went to the new index" "$(comm -13 "$tmp/before" "$tmp/after" | cut -d' ' -f2 | sort -u)" "$1"
	diag "$1 to $n: $moved of 200 exporters moved; the share of the new index is $((200 / n))"
}

check_moves() {
	received_by_period live >"$tmp/received"
	check_move 2 "$1" "$2"
	check_move 3 "$2" "$3"
	check_drain "$3" "$4" "$5"
	places_in "$1" >"$tmp/before"
	places_in "$7" >"$tmp/after"
	ok "at the end every exporter is where it was at the start" diff "$tmp/before" "$tmp/after"
}

configure 2
start_all live 2
start_traffic mixed 2100 period=1000
began=$(date +%s)
quiet_second
grow_to 3
grow_to 4
refuse_to_shrink
drain_and_undrain
shrink_to 3
shrink_to 2
stop_traffic
stop_all live
nothing_lost live
# shellcheck disable=SC2086 # one word a second
check_moves $marks
done_testing
