#!/bin/sh
# Exporter state with very many exporters, with those that misbehave, and with forged addresses: it costs the others nothing, and what
# is kept of exporters that send on stays.
. "${0%/*}/lib/traffic.sh"
need_traffic
need jq perl
sandbox

# state FIELD: of the exporter state, as status has it
state() {
	"$reuseportctl" --pin-path "$bpffs/$1" --json status | jq ".exporter_state.$2"
}

# keeps NAME PAGES: whether the group keeps so many, at least
keeps() {
	[ "$(state "$1" pages)" -ge "$2" ]
}

# resident INDEX: KiB of the core's memory that are in use
resident() {
	awk '$1 == "VmRSS:" {print $2}' "/proc/$(pid_of "$1" "$2")/status"
}

# settled NAME INDEX: whether the core's memory stays as it is, for two seconds in which half of the exporters send
settled() {
	local before
	before=$(resident "$1" "$2")
	sleep 2
	[ "$(resident "$1" "$2")" -eq "$before" ]
}

# introduce PROTOCOL FAMILY: 10,000 exporters send their templates, and a flow each: a thousand after the other, as the buffers of a busy machine
# have no room for all
introduce() {
	local thousand
	for thousand in 0 1 2 3 4 5 6 7 8 9; do
		"$tools/exporter" "$1" "$2" 2100 exporters=1000 address=$((thousand * 1000 + 1)) ports=1 datagrams=1 rate=1000 definitions=5 first=100 \
			report="$tmp/traffic.first$2-$thousand.report" >/dev/null
		await 60 queues_empty 2100
	done
}

# many: 20,000 exporters of 5 templates each, over 4 instances, through a restart
many() {
	local before
	config many 2100 4 "$by_period"
	start_all many 4
	introduce netflow9 4
	introduce ipfix 6
	await 30 keeps many 20000
	start_sender traffic netflow9 4 2100 exporters=10000 ports=1 rate=10000 period=1000 templates=0
	start_sender traffic ipfix 6 2100 exporters=10000 ports=1 rate=10000 period=1000 templates=0
	sleep 2
	is "20,000 exporters with 5 templates each are kept in as many pages" "$(state many pages)" 20000
	ok "an instance stops" stopped INT "$(pid_of many 1)"
	ok "failover has brought another instance its part of that one's exporters" await 60 settled many 2
	before=$(resident many 2)
	start_and_wait many 1
	sleep 2
	ok "another instance is about as large as before" [ "$(resident many 2)" -le $((before + 4096)) ]
	diag "resident: $before KiB before, $(resident many 2) KiB after"
	stop_traffic
	sent "$tmp"/traffic.*.report
	stop_all many
	lost_at_most many 0
}

# misbehave: one exporter changes its template 20 times a second, one sends data without ever a template, 60 others export steadily
misbehave() {
	local flapping
	rm -f "$tmp"/traffic.*
	config steady 2100 3 "$by_period" "nfacctd_pipe_size: 0"
	sed -i '/^nfacctd_pipe_size/d' "$tmp/steady.conf"
	start_all steady 3
	start_sender traffic mixed 4 2100 exporters=60 rate=5000 period=1000 templates=1000000
	start_sender silent netflow9 6 2100 exporters=1 rate=500 templates=0
	flap &
	flapping=$!
	sleep 5
	ok "the template flapped until now" not gone $flapping
	kill $flapping 2>/dev/null
	wait $flapping || true
	at_least "so that it was defined anew" "$(wc -l <"$tmp/flaps")" 50
	stop_traffic
	stop_all steady
	missing steady | grep '^10\.0\.0\.' >"$tmp/of_others" || true
	is "with the default receive buffer, flows of the others lost" "$(awk '$3 > 0 {n += $3} END {print n + 0}' "$tmp/of_others")" 0
}

flap() {
	local n
	for n in $(seq 1 1000); do
		perl "$root/tests/tools/router.pl" 10.9.0.1 9 0 "$n" "0:256,$((2 + n % 2)),8,4,2,4,1,4"
		echo "$n" >>"$tmp/flaps"
	done
}

# flood: each of 60,000 addresses sends a template, more than three quarters of what there is room for, 5,000 after each other until they are
# refused: of one round a busy machine may drop too many
flood() {
	local index round
	for round in 1 2 3 4 5; do
		for index in 0 1 2 3 4 5 6 7 8 9 10 11; do
			[ "$(state forged refused)" -le 5000 ] || return 0
			"$tools/exporter" netflow9 6 2100 exporters=5000 address=$((index * 5000 + 1)) ports=1 datagrams=1 rate=5000 >/dev/null
		done
	done
}

# forge: more forged addresses than there is room for. 60 exporters that were there before
# are kept, and so is one that comes and stays.
forge() {
	rm -f "$tmp"/traffic.*
	config forged 2100 2 "$by_period" "nfacctd_renormalize: true"
	start_all forged 2
	start_sender traffic ipfix 4 2100 exporters=60 ports=1 rate=1000 period=1000 templates=1000000 sampled=mixed
	await 10 keeps forged 60
	flood
	ok "three quarters are taken, and not more" [ "$(state forged pages)" -ge 49152 -a "$(state forged pages)" -lt 50000 ]
	ok "others were refused" [ "$(state forged refused)" -gt 5000 ]
	like "status marks it" "$("$reuseportctl" --pin-path "$bpffs/forged" status || true)" 'of 65536 pages of exporter state are in use'
	for index in 0 1; do
		ok "index $index stops" stopped INT "$(pid_of forged $index)"
		start_and_wait forged $index
	done
	sleep 1
	stop_traffic
	stop_all forged
	missing forged | grep '^10\.0\.0\.' >"$tmp/of_others" || true
	is "packets of those that were there before the flood, not counted 1000 times" "$(awk '$3 % 1000' "$tmp/of_others")" ""
	ok "$(awk '$3 > 0 {n += $3} END {print n + 0}' "$tmp/of_others") packets lost: of datagrams that a busy machine had no room for in the flood, $(full_buffers)" \
		[ "$(awk '$3 > 0 {n += $3} END {print n + 0}' "$tmp/of_others")" -le $(($(full_buffers) * 1000)) ]
}

many
misbehave
forge
done_testing
