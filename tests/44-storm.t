#!/bin/sh
# Sixty kills, stops, starts, takeovers and resizes in a random sequence that the seed fixes, without waiting for one to be
# through before the next: nothing is missing but what killed processes had queued, and at the end every exporter is where
# nothing ever happened. All exporters sample 1:1000, and say so once, at their start. On a slower machine the same acts take longer.
#
# STORM_SEED: another sequence. STORM_ACTS: a longer or shorter one, of 20 at least.
. "${0%/*}/lib/traffic.sh"
need_traffic
sandbox

seed=${STORM_SEED:-1}
acts=${STORM_ACTS:-60}
kinds='kill stop start takeover grow shrink'
size=3

# plan: the acts, lines "kind index signal tenths": what, with which instance, by which signal, and how long to wait after it.
# It follows who runs, so that each act is possible when it is due, if all before it were done. Each kind is in it.
plan() {
	awk -v state="$seed" -v acts="$acts" -v kinds="$kinds" '
		# Park and Miller; awks differ in rand()
		function random(n) {
			state = state * 16807 % 2147483647
			return int(state / 7) % n
		}
		function others(i,   j, n) {
			for (j = 0; j < size; j++) if (j != i && runs[j]) n++
			return n
		}
		# sets the index, too, where it does not matter which
		function choose(dice) {
			if (dice < 10 && size < 5) {size++; return "grow"}
			if (dice < 20 && size > 2) {
				i = size - 1
				if (!runs[i]) {size--; return "shrink"}
				dice = 99
			}
			if (!runs[i]) {runs[i] = 1; return "start"}
			if (dice < 45) return "takeover"
			if (!others(i)) return ""
			runs[i] = 0
			return dice < 70 ? "kill" : "stop"
		}
		function complete(   k, n, all) {
			n = split(kinds, all, " ")
			for (k = 1; k <= n; k++) if (!done[all[k]]) return 0
			return 1
		}
		BEGIN {
			state = state % 2147483646 + 1
			do {
				split("", done); split("", runs)
				size = 3; runs[0] = runs[1] = runs[2] = 1
				for (n = 0; n < acts;) {
					i = random(size)
					if ((kind = choose(random(100))) == "") continue
					done[kind]++
					plan[n++] = kind " " i " " (random(2) ? "TERM" : "INT") " " random(10)
				}
			} while (!complete())
			for (n = 0; n < acts; n++) print plan[n]
		}'
}

# configure COUNT: the config that those who start from now on read
configure() {
	config live 2100 "$1" "$by_period" "reuseport_nonce: 42" \
		"reuseport_takeover: true" "nfacctd_renormalize: true"
}

# runs INDEX: whether there is a process that is not about to go
runs() {
	[ -f "$tmp/live-$1.pid" ] && ! gone "$(pid_of live "$1")"
}

# others_read INDEX: whether the group can do without this one
others_read() {
	local other
	for other in $(seq 0 $((size - 1))); do
		if [ "$other" -ne "$1" ] && runs "$other" && is_up live "$other"; then return 0; fi
	done
	return 1
}

# start_any INDEX: and remembers its pid
start_any() {
	start live "$1"
	pid_of live "$1" >>"$tmp/started"
}

# resize COUNT: also in the config of those that start from now on
resize() {
	"$reuseportctl" --pin-path "$bpffs/live" resize "$1" >/dev/null 2>"$tmp/resize.err" && configure "$1" && size=$1
}

# impossible REASON: fails, with one of the reasons for which an act need not be done. All follow from an instance that did not
# come up: one whose config has the count from before a resize is refused.
impossible() {
	reason=$1
	return 1
}

# shrink: removes the last bucket, if it is empty; a stopped instance may be in it for a moment yet
shrink() {
	[ "$size" -gt 2 ] || impossible "there are 2 buckets, as it did not grow" || return
	wait_for 10 resize $((size - 1)) && return
	has_line "$tmp/resize.err" 'cannot shrink .*; stop that instance first' && impossible "$(cat "$tmp/resize.err")"
}

# can_go INDEX: whether it runs and the group can do without it
can_go() {
	runs "$1" || not_there "$1" || return
	wait_for 20 others_read "$1" || impossible "no other instance reads" || return
	runs "$1" || not_there "$1"
}

# not_there INDEX: fails; with a reason if it was not started, or was refused
not_there() {
	[ -f "$tmp/live-$1.pid" ] || impossible "index $1 was not started" || return
	has_line "$tmp/live-$1.log" 'ERROR.* reuseport_hashbucket_(count is|index .* is (not below|beyond))' &&
		impossible "index $1 was refused: $(grep ERROR "$tmp/live-$1.log")"
}

# act KIND INDEX SIGNAL: does it; fails if it does not succeed, and if it is impossible, with the $reason
act() {
	reason=''
	case $1 in
	grow) resize $((size + 1)) ;;
	shrink) shrink ;;
	start | takeover)
		[ "$2" -lt "$size" ] || impossible "there is no bucket $2, as it did not grow" || return
		start_any "$2"
		;;
	kill)
		can_go "$2" || return
		crash live "$2"
		;;
	stop)
		can_go "$2" || return
		kill -"$3" "$(pid_of live "$2")"
		rm "$tmp/live-$2.pid"
		;;
	esac
}

set_up() {
	configure $size
	start_all live $size
	cat "$tmp"/live-*.pid >"$tmp/started"
	plan >"$tmp/plan"
	watch_queues
	start_traffic mixed 2100 period=1000 sampled=mixed templates=1000000
	await 10 all_learnt live 132
	sleep 2
}

storm() {
	local kind index signal tenths
	: >"$tmp/acts"
	: >"$tmp/done"
	: >"$tmp/impossible"
	while read -r kind index signal tenths; do
		if act "$kind" "$index" "$signal"; then
			echo "$kind $index" >>"$tmp/acts"
			echo "$kind" >>"$tmp/done"
		elif [ -n "$reason" ]; then
			echo "$kind $index" >>"$tmp/acts"
			echo "$kind $index: $reason" >>"$tmp/impossible"
		else
			echo "$kind $index failed" >>"$tmp/acts"
			diag "$kind $index fails: $(cat "$tmp/resize.err" 2>/dev/null)"
			show_logs
		fi
		sleep "0.$tenths"
	done <"$tmp/plan"
}

check_storm() {
	local kind line
	is "acts in the plan" "$(wc -l <"$tmp/plan")" "$acts"
	cut -d' ' -f1,2 "$tmp/plan" >"$tmp/wanted"
	ok "each act of the plan, in its order, was done, or was impossible for a reason" diff "$tmp/wanted" "$tmp/acts"
	while read -r line; do diag "impossible: $line"; done <"$tmp/impossible"
	at_least "at least nine tenths of $acts acts were done" "$(wc -l <"$tmp/done")" $((acts * 9 / 10))
	for kind in $kinds; do ok "$kind: done at least once" grep -q "^$kind$" "$tmp/done"; done
	diag "seed $seed: $(sort "$tmp/done" | uniq -c | awk '{print $2, $1}' | paste -sd, | sed 's/,/, /g'); impossible: $(wc -l <"$tmp/impossible")"
}

# calm_down: four instances, all of which read
calm_down() {
	local i
	if runs 4; then
		await 20 is_up live 4
		ok "index 4 stops" stopped INT "$(pid_of live 4)"
		rm "$tmp/live-4.pid"
	fi
	ok "after the storm the group can have four buckets" await 10 resize 4
	for i in 0 1 2 3; do runs $i || start_any $i; done
	for i in 0 1 2 3; do ok "after the storm index $i reads" await 20 is_up live $i; done
	sleep 3
}

# stop_everything: and what killed processes had queued is in $queued
stop_everything() {
	local p
	stop_traffic
	stop_all live
	while read -r p; do await 20 gone "$p" || die "pid $p does not end"; done <"$tmp/started"
	queued=$(queues_lost)
}

check_losses() {
	local lost kills
	missing live >"$tmp/missing"
	lost=$(total_lost)
	kills=$(grep -c '^kill$' "$tmp/done" || true)
	[ "$lost" -le $(((queued + kills * batch) * 1000)) ] || explain_losses
	ok "of $(total_sent) packets sent, $lost lost: at most 1000 for each of the $queued datagrams that $kills killed processes had queued, and $batch in the hands of each" \
		[ "$lost" -le $(((queued + kills * batch) * 1000)) ]
	is "packets that were not counted 1000 times" "$(awk '$3 % 1000' "$tmp/missing")" ""
	counted_once
	diag "of $(total_sent) packets sent, $lost lost; $kills killed processes had queued $queued"
}

check_places() {
	local last family
	last=$(awk '{if ($2 > last) last = $2} END {print last - 1}' "$tmp/sent")
	received_by_period live | awk -v period="$last" '$2 == period {print $1, $4}' | sort >"$tmp/after"
	config calm 2101 4 "reuseport_nonce: 42"
	start_all calm 4
	for family in 4 6; do "$tools/exporter" netflow5 $family 2101 exporters=100 >/dev/null; done
	stop_all calm
	received calm | cut -d' ' -f1,2 | sort >"$tmp/calm"
	ok "every exporter is where an undisturbed group has it" diff "$tmp/calm" "$tmp/after"
	is "all of them" "$(wc -l <"$tmp/after")" 200
}

set_up
storm
check_storm
calm_down
stop_everything
check_losses
check_places
done_testing
