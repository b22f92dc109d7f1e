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

# router FROM VERSION DOMAIN SEQUENCE MESSAGE...: see tests/tools/router.pl
router() {
	perl "$root/tests/tools/router.pl" "$@"
}

# serve_ten NAME: index 4 gets ten exporters, and no others. How much memory it has then is in $resident.
serve_ten() {
	"$reuseportctl" --pin-path "$bpffs/$1" reserve 4 >/dev/null
	"$reuseportctl" --pin-path "$bpffs/$1" override add 10.0.78.0/24 4
	"$tools/exporter" netflow9 4 2100 exporters=10 address=20000 ports=1 datagrams=1 definitions=5 report="$tmp/traffic.ten.report" >/dev/null
	await 20 has_served "$1" 4 10
	resident=$(resident "$1" 4)
}

# has_served NAME INDEX DATAGRAMS: whether it has received and handled so many
has_served() {
	[ "$("$reuseportctl" --pin-path "$bpffs/$1" --json status | jq ".listeners[0].buckets[$2].received")" -ge "$3" ] && queues_empty 2100
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

# few: what an instance takes that serves ten exporters in a group that has no others
few() {
	config few 2100 5 "$by_period"
	start_and_wait few 4
	serve_ten few
	few=$resident
	stop_all few
}

# many: 20,000 exporters of 5 templates each, over 4 instances, through a restart; a fifth one serves ten others
many() {
	config many 2100 5 "$by_period"
	start_all many 5
	serve_ten many
	introduce netflow9 4
	introduce ipfix 6
	await 30 keeps many 20010
	start_sender traffic netflow9 4 2100 exporters=10000 ports=1 rate=10000 period=1000 templates=0
	start_sender traffic ipfix 6 2100 exporters=10000 ports=1 rate=10000 period=1000 templates=0
	sleep 2
	is "20,000 exporters with 5 templates each are kept in as many pages, ten others in ten" "$(state many pages)" 20010
	ok "an instance stops" stopped INT "$(pid_of many 1)"
	sleep 2
	start_and_wait many 1
	sleep 2
	compare_memory
	stop_traffic
	sent "$tmp"/traffic.*.report
	stop_all many
	lost_at_most many 0
}

# compare_memory: what the exporters of others cost an instance is less than a quarter of a KiB for each, which has a page of one KiB in the
# group's map; those that an instance serves cost it more
compare_memory() {
	local bound=$((20000 / 4)) others own
	others=$(($(resident many 4) - few)) own=$(($(resident many 0) - few))
	diag "resident: $few KiB with ten exporters; $others KiB more in a group with 20,000 others; $own KiB more with a quarter of them"
	at_least "an instance grows with the exporters that it serves" "$own" $bound
	ok "it does not with those of others" [ "$others" -lt $bound ]
}

# misbehave: one exporter changes its template 20 times a second, one sends data without ever a template, 60 others export steadily
misbehave() {
	rm -f "$tmp"/traffic.*
	config steady 2100 3 "$by_period" "nfacctd_pipe_size: 0"
	sed -i '/^nfacctd_pipe_size/d' "$tmp/steady.conf"
	start_all steady 3
	start_sender traffic mixed 4 2100 exporters=60 rate=5000 period=1000 templates=1000000
	start_sender silent netflow9 6 2100 exporters=1 rate=500 templates=0
	# shellcheck disable=SC2046 # words
	ok "a template is defined anew 120 times, 20 times a second" router 10.9.0.1 9 0 0 ~20 $(flaps 60)
	stop_traffic
	is "the latest definition is kept, beside what the others tell" "$("$reuseportctl" --pin-path "$bpffs/steady" --json exporters 10.9.0.1 | jq '.exporters[0].templates')" 1
	stop_all steady
	missing steady | grep '^10\.0\.0\.' >"$tmp/of_others" || true
	is "with the default receive buffer, flows of the others lost" "$(awk '$3 > 0 {n += $3} END {print n + 0}' "$tmp/of_others")" 0
}

# flaps N: so many pairs of definitions of one template
flaps() {
	seq "$1" | sed 's/.*/0:256,2,8,4,2,4 0:256,3,8,4,2,4,1,4/'
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

# start_forged INDEX: an instance whose clock the test sets
start_forged() {
	run_daemon forged "$1" env LD_PRELOAD="$tools/boot_time.so" BOOT_TIME="$tmp/boot_time" \
		"$nfacctd" -f "$tmp/forged.conf" -x "$1" -o "$tmp/forged-$1.csv"
	await 20 is_up forged "$1" || die "index $1 of forged does not start"
}

# later SECONDS: for the instances, it is so much later than at first; that is days ahead of the tool's clock, so that no sample is as late
later() {
	echo $(($(cut -d. -f1 "$tmp/uptime") + days + $1)) >"$tmp/boot_time.new"
	mv "$tmp/boot_time.new" "$tmp/boot_time"
}

# come ADDRESS: a router that samples 1:1000 tells so, once
come() {
	router "$1" 9 1 0 "0:256,3,8,4,2,4,1,4" "1:257,4,4,1,4,34,4" "257:N1,N1000" "256:N1,N1,N100"
}

# grow: 40 of the steady exporters tell the names of 1500 interfaces each, so that more than 2000 pages have to go until there is room again
grow() {
	local n names
	names=$(for n in $(seq 1 150 1500); do echo "300:$(seq -s, -f 'N%.0f,N7' "$n" $((n + 149)))"; done)
	# shellcheck disable=SC2086 # words
	for n in $(seq 40); do router 10.0.0.$n 9 77 0 "1:300,4,4,2,4,83,4" $names; done
	await 20 keeps forged 51152
}

# told ADDRESS: whether its sampling rate is kept
told() {
	[ "$("$reuseportctl" --pin-path "$bpffs/forged" --json exporters "$1" 2>/dev/null | jq '.exporters[0].sampling_rate')" = 1000 ]
}

# refused N: whether so many were, at least
refused() {
	[ "$(state forged refused)" -ge "$1" ]
}

# seen_later SECONDS N: whether the map has so many of the steady exporters, as seen then
seen_later() {
	"$reuseportctl" --pin-path "$bpffs/forged" --json exporters >"$tmp/exporters"
	[ "$(jq --argjson least $((began + days + $1 - 2)) '[.exporters[] | select((.exporter | startswith("10.0.0.")) and .options > 0 and .last_seen >= $least)] | length' "$tmp/exporters")" -eq "$2" ]
}

# has_room: whether some were deleted, so that the map is not crowded any more
has_room() {
	[ "$(state forged evicted)" -gt 0 ] && [ "$(state forged pages)" -lt 49152 ]
}

# forge: more forged addresses than there is room for. 60 exporters that were there before are kept; a router that comes meanwhile is, when it
# has stayed for a minute; one that comes three minutes later at once.
forge() {
	local refused
	rm -f "$tmp"/traffic.*
	began=$(date +%s) days=1000000
	cp /proc/uptime "$tmp/uptime"
	later 0
	config forged 2100 2 "$by_period" "nfacctd_renormalize: true"
	for index in 0 1; do start_forged $index; done
	start_sender traffic ipfix 4 2100 exporters=60 ports=1 rate=1000 period=1000 templates=1000000 sampled=mixed
	await 10 keeps forged 60
	flood
	await 20 queues_empty 2100
	ok "three quarters are taken, and not more" [ "$(state forged pages)" -ge 49152 -a "$(state forged pages)" -lt 50000 ]
	ok "others were refused" refused 5000
	like "status marks it" "$("$reuseportctl" --pin-path "$bpffs/forged" status || true)" 'of 65536 pages of exporter state are in use'
	grow
	refused=$(state forged refused)
	come 10.1.0.20
	ok "a router that comes now is refused" await 10 refused $((refused + 1))
	ok "and not kept" not told 10.1.0.20
	later 61
	ok "those that were there before are seen, and kept" await 60 seen_later 61 60
	router 10.1.0.20 9 1 4 "256:N1,N2,N100"
	ok "so is the router, when it has stayed for a minute" await 20 told 10.1.0.20
	is "none was deleted so far" "$(state forged evicted)" 0
	later 200
	ok "three minutes after the last of the forged addresses, there is room again" await 60 has_room
	check_deleted
	come 10.1.0.21
	ok "for a router that comes then" await 20 told 10.1.0.21
	for index in 0 1; do
		ok "index $index stops" stopped INT "$(pid_of forged $index)"
		start_forged $index
	done
	router 10.1.0.20 9 1 5 "256:N1,N4,N100"
	router 10.1.0.21 9 1 4 "256:N1,N2,N100"
	sleep 1
	stop_traffic
	stop_all forged
	check_sampling
}

# check_deleted: those that were seen last are kept, how many were deleted is told
check_deleted() {
	local deleted
	deleted=$(state forged evicted)
	at_least "deleted, of those that were not seen since" "$deleted" 2000
	ok "the exporters that send on are not among them" seen_later 61 60
	ok "nor is the router" told 10.1.0.20
	like "status says how many" "$("$reuseportctl" --pin-path "$bpffs/forged" status || true)" "^exporter state: [0-9]+ of 65536 pages, $deleted exporters deleted, [0-9]+ times no room"
	like "and a metric" "$("$reuseportctl" --pin-path "$bpffs/forged" --openmetrics status || true)" "^reuseport_exporter_state_evicted_total.* $deleted$"
}

check_sampling() {
	received_by_period forged | awk '{n[$1] += $3} END {for (e in n) print e, n[e]}' >"$tmp/by_exporter"
	is "packets of the routers, which told their sampling once" "$(grep '^10\.1\.' "$tmp/by_exporter" | sort | paste -sd,)" "10.1.0.20 7000,10.1.0.21 3000"
	missing forged | grep '^10\.0\.0\.' >"$tmp/of_others" || true
	is "packets of those that were there before the flood, not counted 1000 times" "$(awk '$3 % 1000' "$tmp/of_others")" ""
	ok "$(awk '$3 > 0 {n += $3} END {print n + 0}' "$tmp/of_others") packets lost: of datagrams that a busy machine had no room for in the flood, $(full_buffers)" \
		[ "$(awk '$3 > 0 {n += $3} END {print n + 0}' "$tmp/of_others")" -le $(($(full_buffers) * 1000)) ]
}

few
many
misbehave
forge
done_testing
