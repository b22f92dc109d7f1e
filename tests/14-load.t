#!/bin/sh
# reuseportctl exporters, rebalance and override list, without a daemon and without traffic to speak of.
. "${0%/*}/lib/ctl.sh"
need_root
need jq perl bpftool flock strace
[ -x "$reuseportctl" ] && [ -f "$object" ] || skip_all "not built: run make bpf"
sandbox
pins=$bpffs/pmacct

# keep_what_rebalance_did: overrides as if by it, loaded; they are dropped when they have lost their sense
keep_what_rebalance_did() {
	local own
	own=$(ctl --json -l listen_udp where 127.0.0.1 | jq '.[0].bucket')
	cat >"$tmp/rebalanced" <<-END
		127.0.0.1/32 $(((own + 1) % 3)) rebalanced
		127.0.0.2/32 $(ctl --json -l listen_udp where 127.0.0.2 | jq '.[0].bucket') rebalanced
		127.0.0.3/32 $(ctl --json -l listen_udp where 127.0.0.3 | jq '.[0].bucket')
	END
	says "overrides of rebalance are loaded" 0 "$pins: overrides: 3, 0 before" override load "$tmp/rebalanced"
	is "listed as they were saved" "$(ctl override list)" "$(cat "$tmp/rebalanced")"
	is "where tells them apart" "$(ctl --json -l listen_udp where 127.0.0.1 127.0.0.3 | jq -c 'map(.by)')" '["rebalance","override"]'
	like "and the selector heeds them" "$(ctl --udp --from 127.0.0.1/32 --exporters 1 --ports 1 connect 127.0.0.1 5000)" "^1 exporters: bucket $(((own + 1) % 3)): 1; "
	run resize 3
	is "resize drops the one whose exporter is there anyway" "$out" "$pins: 3 buckets, 3 before
1 override of 'rebalance' dropped, which had lost its sense"
	is "and no other" "$(ctl override list)" "$(grep -v '^127.0.0.2/' "$tmp/rebalanced")"
	ctl resize 4 >/dev/null
	echo "127.0.0.4/32 3 rebalanced" | ctl override load - >/dev/null
	run resize 3
	like "shrinking drops the one whose bucket is gone" "$out" "^1 override of 'rebalance' dropped"
	is "nothing is left of them" "$(ctl override list)" ""
}

# next_key [KEY]: of the overrides, as the kernel walks through them
next_key() {
	# shellcheck disable=SC2086 # bytes, each a word
	bpftool -j map getnext pinned "$pins/overrides" ${1:+key $1} | jq -r '.next_key | join(" ")'
}

# list_beside_a_deletion CALLS KEY: 'override list' in $tmp/listed, as if the key were deleted when so many calls are to come
list_beside_a_deletion() {
	local calls tracer
	calls=$(strace -e trace=bpf "$reuseportctl" override list 2>&1 >/dev/null | grep -c '^bpf(')
	rm -f "$tmp/strace"
	strace -o "$tmp/strace" -e trace=bpf -e inject=bpf:signal=STOP:when=$((calls - $1)) "$reuseportctl" override list >"$tmp/listed" &
	tracer=$!
	await 10 has_line "$tmp/strace" 'stopped by SIGSTOP'
	# shellcheck disable=SC2086
	bpftool map delete pinned "$pins/overrides" key $2
	kill -CONT "$(pgrep -P "$tracer")"
	wait "$tracer"
	quietly ctl override load "$tmp/saved"
}

# Of the four, two calls for each, and one that finds no more
list_beside_deletions() {
	printf '10.%s.0.0/16 1\n' 1 2 3 4 >"$tmp/saved"
	quietly ctl override load "$tmp/saved"
	list_beside_a_deletion 8 "$(next_key)"
	is "the first one is deleted before it is read: override list has the other three" "$(grep -cxFf "$tmp/saved" "$tmp/listed")" 3
	list_beside_a_deletion 5 "$(next_key "$(next_key)")"
	is "the second one is deleted after it is read: it has each of the four once" "$(cat "$tmp/listed")" "$(cat "$tmp/saved")"
	: | ctl override load - >/dev/null
}

# drop_by_drain: an operator who drains an instance wants it empty; what an operator has put there stays
drop_by_drain() {
	printf '127.0.0.5 2 rebalanced\n127.0.0.6 2\n' | ctl override load - >/dev/null
	run drain 2
	like "draining a bucket drops what rebalance has put there" "$out" "^1 override of 'rebalance' dropped"
	is "and nothing else" "$(ctl override list | grep -v '^drain')" "127.0.0.6/32 2"
	ctl undrain 2 >/dev/null
	: | ctl override load - >/dev/null
}

# talks ADDRESS SECONDS-AGO: as if 1000 samples of it had come in half a minute, the last one so long ago
talks() {
	# shellcheck disable=SC2016 # perl's
	perl -MSocket -e '
		my ($address, $ago) = @ARGV;
		open(my $in, "<", "/proc/uptime") or die;
		my $last = (split " ", <$in>)[0] - $ago;
		die "this host was booted too late\n" if $last < 30;
		print join " ", "key hex", map({sprintf "%02x", $_} unpack "C*", "\0" x 10 . "\xff\xff" . inet_aton($address)),
			"value hex", map {sprintf "%02x", $_} unpack "C*", pack "Q5", 16000, 1600000, 1000, ($last - 30) * 1e9, $last * 1e9;' "$@" |
		xargs bpftool map update pinned "$pins/listen_udp/talkers"
}

list_who_fell_silent() {
	talks 198.51.100.1 150 && talks 198.51.100.2 1 || die "bpftool cannot write the map"
	ctl --json exporters 198.51.100.1 198.51.100.2 >"$tmp/exporters"
	is "who has sent nothing for minutes, other than before, fell silent" "$(jq -c '.exporters | map([.exporter, .silent]) | sort' "$tmp/exporters")" \
		'[["198.51.100.1",true],["198.51.100.2",false]]'
	is "rates before the silence, to one in a hundred" "$(jq -c '.exporters | map(.rate / 5.33 | round) | unique' "$tmp/exporters")" "[100]"
	ctl --sort quiet --top 1 exporters >"$tmp/quiet"
	like "--sort quiet has it first" "$(sed -n 2p "$tmp/quiet")" "^198\.51\.100\.1 .*, silent$"
	like "and how many there are" "$(tail -n 1 "$tmp/quiet")" "^[1-9][0-9]* exporters, 1 silent; of 0 the group keeps"
	says "an exporter that never sent" 1 "the group $pins knows nothing of 192.0.2.9: too little of what it sends has come to listener listen_udp" exporters 192.0.2.9
}

show_who_is_spread() {
	ctl override add 198.51.100.2 --spread 0-1 --by port >/dev/null
	like "an exporter that is spread has its range" "$(ctl exporters 198.51.100.2)" "^198\.51\.100\.2 +0-1  "
	is "also in JSON" "$(ctl --json exporters 198.51.100.2 | jq -c '.exporters[0] | [.bucket, .last_bucket]')" "[0,1]"
	ctl override delete 198.51.100.2 >/dev/null
}

rebalance_beside_a_spread_one() {
	ctl override add 198.51.100.9 --spread 0-1 --by port >/dev/null
	ctl --seconds 3 rebalance >"$tmp/plan" 2>&1 &
	await 3 looks && talks 198.51.100.9 1
	wait $! || diag "$(cat "$tmp/plan")"
	is "rebalance counts it in equal parts" "$(awk '$1 ~ /^[0-2]$/ && NF == 5 {print $1, $3}' "$tmp/plan")" "0 150%
1 150%
2 0%"
	is "and does not tell to isolate it" "$(grep 'alone sends' "$tmp/plan")" ""
	ctl override delete 198.51.100.9 >/dev/null
}

looks() {
	ctl status | head -n 1 | grep -q ', samples of 1 in 16$'
}

refuse_to_rebalance() {
	local command
	says "too little traffic to rebalance" 1 "[0-9]+ samples of what comes to listener listen_udp in 1 s are too few, 1000 are needed: give more --seconds" --seconds 1 rebalance
	for command in exporters rebalance; do
		says "$command of connections" 1 "listener listen_tcp in $pins has connections, of which no samples are taken: give a listener of UDP$" -l listen_tcp "$command"
	done
	says "another order" 2 "--sort takes datagrams, bytes or quiet, not 'name'" --sort name exporters
	says "exporters: two ways to look twice" 2 "only one of --watch, --seconds and metrics" --seconds 1 --watch exporters
	says "the limit is a number" 2 "--limit takes a number from 1 to 65536, not '0'" --limit 0 rebalance
}

refuse_with_an_empty_bucket() {
	ctl resize 4 >/dev/null
	says "rebalance wants all instances" 1 "bucket 3 of listener listen_udp is empty: start its instance first, or shrink the group" rebalance
	ctl reserve 3 >/dev/null
	says "but not those of drained buckets" 1 "[0-9]+ samples .* are too few" --seconds 1 rebalance
}

# Bucket 3 goes after rebalance has looked at it for the first time: none is moved there
rebalance_beside_a_shrink() {
	local others="$pid" rebalance address
	ctl undrain 3 >/dev/null
	listens --prog "$object" --index 3 listen 5000
	seq -f '198.51.100.%g 0 rebalanced' 21 29 | ctl override load - >/dev/null
	"$reuseportctl" --seconds 3 --apply rebalance >"$tmp/plan" 2>&1 &
	rebalance=$!
	# until it waits, without the group's lock
	await 3 looks && flock "$pins" true && kill -STOP "$rebalance"
	for address in $(seq -f 198.51.100.%g 21 29); do talks "$address" 1; done
	ends "$pid"
	pid=$others
	ctl resize 3 >/dev/null
	kill -CONT "$rebalance"
	ok "rebalance, while the group shrinks" wait "$rebalance"
	is "moves to what is left" "$(awk '/^198/ {print $4}' "$tmp/plan" | sort -u | paste -sd' ')" "1 2"
}

listens --prog "$object" --count 3 listen 5000
keep_what_rebalance_did
list_beside_deletions
drop_by_drain
list_who_fell_silent
show_who_is_spread
rebalance_beside_a_spread_one
refuse_to_rebalance
refuse_with_an_empty_bucket
rebalance_beside_a_shrink
ends "$pid"
done_testing
