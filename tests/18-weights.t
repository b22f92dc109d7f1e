#!/bin/sh
# The placement table of a group, and what changes it: resize, weight, drain, undrain, reserve; saved and loaded with the overrides.
. "${0%/*}/lib/members.sh"
need_root
need bpftool jq
[ -x "$reuseportctl" ] && [ -f "$object" ] || skip_all "not built: run make bpf"
sandbox

pins=$bpffs/group
other=$bpffs/other
pin_path=$pins

ctl() {
	"$reuseportctl" --pin-path "$pin_path" "$@" 2>&1
}

# says NAME STATUS REGEX ARGUMENT...: it prints lines of which one matches, and exits with that status
says() {
	local name="$1" wanted="$2" regex="$3" status=0
	shift 3
	ctl "$@" >"$tmp/said" || status=$?
	like "$name" "$status $(cat "$tmp/said")" "^($wanted )?(reuseportctl: )?$regex"
	is "$name: exit status" "$status" "$wanted"
}

# table [PIN-PATH]: the whole map
table() {
	bpftool -j map dump pinned "${1:-$pins}/slots" | jq -r '.[].formatted.value' | tr '\n' ' '
}

# slots BUCKET: how many it has
slots() {
	ctl --json status | jq ".listeners[0].buckets[$1].slots"
}

# places: where 1,000 exporters belong, lines "exporter bucket"
places() {
	ctl --json --load "$tmp/exporters" where | jq -r '.[] | "\(.exporter) \(.bucket)"'
}

start_two_groups() {
	seq 0 999 | awk '{printf "10.0.%d.%d\n", $1 / 250, $1 % 250}' >"$tmp/exporters"
	member "$object" "$pins" 4 0 nonce=42
	first=$pid
	member "$object" "$other" 7 0 nonce=42 port=2200
	second=$pid
	table >"$tmp/at-first"
	places >"$tmp/places"
	is "all slots are placed" "$(tr ' ' '\n' <"$tmp/at-first" | head -n 4096 | sort | uniq -c | awk '{print $2, $1}' | tr '\n' ' ')" \
		"1 1024 2 1024 3 1024 4 1024 "
	is "1,000 exporters are where user space expects them" "$(wc -l <"$tmp/places")" 1000
	like "nothing about weights where there are none" "$(ctl status | head -n 3 | grep -c weights || true)" "^0$"
}

# ---- one bucket has another share ----

set_a_weight() {
	says "weight" 0 "$pins: bucket 1: weight 50, 14.3% of the slots; before: weight 100, 25.0%$" weight 1 50
	is "its slots" "$(slots 1)" 585
	says "status shows it" 3 "weights: bucket 1 has 50 \(14.3%\)$" status
	is "JSON has it" "$(ctl --json status | jq -c '[.listeners[0].buckets[] | .weight]')" "[100,50,100,100]"
	like "and the metrics" "$(ctl --prometheus status || true)" "^reuseport_bucket_weight\{group=\"$pins\",bucket=\"1\"\} 50$"
	places >"$tmp/now"
	is "only its exporters move" "$(diff "$tmp/places" "$tmp/now" | awk '/^</ && $3 != 1' | wc -l)" 0
	at_least "but some of them do" "$(diff "$tmp/places" "$tmp/now" | grep -c '^<')" 50
	says "as before" 0 "$pins: bucket 1: weight 100, 25.0% of the slots; before: weight 50, 14.3%$" weight 1 100
	is "brings them back" "$(table)" "$(cat "$tmp/at-first")"
}

drain_one() {
	local before
	quietly ctl override add 192.0.2.7 2
	quietly ctl override add 192.0.2.9 --spread 1-3 --by port
	quietly ctl override add 192.0.2.10 --spread 0-1 --by port
	before=$(grep -c ' 2$' "$tmp/places")
	says "drain" 0 "$pins: bucket 2: drained, 0.0% of the slots; before: weight 100, 25.0%$" drain 2
	like "it says what stays, also of an exporter that is spread" "$(cat "$tmp/said")" "^$pins: bucket 2 keeps the exporters of 2 overrides$"
	quietly ctl override delete 192.0.2.9
	quietly ctl override delete 192.0.2.10
	places >"$tmp/now"
	is "of its $before exporters, those that stay" "$(grep -c ' 2$' "$tmp/now" || true)" 0
	is "of the others, those that move" "$(diff "$tmp/places" "$tmp/now" | awk '/^</ && $3 != 2' | wc -l)" 0
	says "status shows it" 3 "weights: bucket 2 is drained$" status
	is "an override still has it" "$(ctl --json where 192.0.2.7 | jq -r '.[0] | .bucket, .by' | tr '\n' ' ')" "2 override "
	ctl override list >"$tmp/saved"
	like "override list has it" "$(cat "$tmp/saved")" "^drain 2$"
	says "undrain" 0 "$pins: bucket 2: weight 100, 25.0% of the slots; before: drained, 0.0%$" undrain 2
	is "all exporters are where they were" "$(table)" "$(cat "$tmp/at-first")"
}

reserve_one() {
	says "reserve, before the group has that bucket" 0 "$pins: bucket 4: drained, when the group is resized to have it$" reserve 4
	quietly ctl resize 5
	is "then no exporter moves" "$(places)" "$(cat "$tmp/places")"
	quietly ctl override add 192.0.2.8 4
	is "and overrides alone have it" "$(ctl --json where 192.0.2.8 | jq -r '.[0] | .bucket, .by' | tr '\n' ' ')" "4 override "
	quietly ctl override delete 192.0.2.8
	quietly ctl resize 4
	quietly ctl resize 5
	is "shrinking forgets it" "$(slots 4)" 819
	quietly ctl resize 4
}

# ---- the same numbers, the same table ----

# go_there PIN-PATH WORD...: one way to five buckets, of which 0 has the weight 150, 1 has 50 and 3 is drained
go_there() {
	pin_path=$1
	shift
	while [ $# -gt 0 ]; do
		# shellcheck disable=SC2086 # a command and its arguments
		quietly ctl $1
		shift
	done
	pin_path=$pins
}

compare_histories() {
	go_there "$pins" "weight 1 50" "resize 9" "drain 3" "weight 0 150" "resize 128" "weight 7 1000" "resize 5"
	go_there "$other" "drain 3" "drain 6" "resize 1" "weight 0 1" "resize 5" "weight 1 0" "weight 0 150" "reserve 3" "weight 1 50"
	is "two groups with other histories and the same numbers have the same table" "$(table)" "$(table "$other")"
	is "other than at first" "$([ "$(table)" = "$(cat "$tmp/at-first")" ] && echo same)" ""
	ctl override list >"$tmp/there"
	go_there "$pins" "undrain 3" "weight 1 100" "weight 0 100" "resize 4"
	is "back to the first numbers: the first table" "$(table)" "$(cat "$tmp/at-first")"
}

save_and_load() {
	quietly ctl resize 5
	says "a saved file" 0 "$pins: overrides: 1, 1 before$" override load "$tmp/there"
	is "has the weights" "$(table)" "$(table "$other")"
	printf '192.0.2.9 1\n' >"$tmp/without"
	quietly ctl override load "$tmp/without"
	is "one without leaves them alone" "$(table)" "$(table "$other")"
	printf 'weight 1 0\n' >"$tmp/bad"
	says "a weight of 0 is written as drain" 1 "$tmp/bad, line 1: not 'PREFIX BUCKET'" override load "$tmp/bad"
	seq -f 'drain %.0f' 0 4 >"$tmp/bad"
	says "one that drains all" 1 "that would drain all buckets of the group $pins" override load "$tmp/bad"
	is "changes nothing" "$(ctl override list | grep -c ' ')" 4
}

# ---- refused ----

refuse() {
	says "not a weight" 2 "'1001' is not a weight, 0 to 1000" weight 1 1001
	says "not a bucket" 2 "'128' is not a bucket, 0 to 127" drain 128
	quietly ctl override delete 192.0.2.9
	quietly ctl resize 2
	quietly ctl drain 1
	says "the last one" 1 "that would drain all buckets of the group $pins, and leave none" drain 0
	quietly ctl undrain 1
	quietly ctl drain 0
	says "a size of drained ones alone" 1 "cannot resize the group $pins to 1 buckets: all of them are drained; 'reuseportctl undrain'" resize 1
	quietly ctl undrain 0
}

mend_a_broken_table() {
	bpftool map update pinned "$pins/slots" key 5 0 0 0 value 9 0 0 0
	says "a slot that another program has changed" 3 "! the placement table is not the one that size, nonce and weights make: .* 'reuseportctl resize 2'" status
	quietly ctl resize 2
	is "is mended" "$(ctl status | grep -c 'placement table' || true)" 0
}

keep_after_the_end() {
	local before
	quietly ctl drain 1
	before=$(table)
	stop "$first"
	member "$object" "$pins" 4 0 nonce=42
	is "a group that starts anew has the weights that it had" "$(table)" "$before"
	stop "$pid" "$second"
	says "none is live" 1 "no instance is live in the group $pins" drain 1
}

start_two_groups
set_a_weight
drain_one
reserve_one
compare_histories
save_and_load
refuse
mend_a_broken_table
keep_after_the_end
done_testing
