#!/bin/sh
# 60 routers with a BMP session each and flows from the same address, 3 instances: flows and session meet at the same
# one, also after reconnecting, in nfacctd with its BMP daemon and in pmbmpd beside nfacctd.
. "${0%/*}/lib/daemons.sh"
need_daemons
need jq
sandbox

# bmp_keys NAME: what a config needs for BMP sessions of 60 routers, logged to $tmp/NAME.json
bmp_keys() {
	printf '%s\n' "bmp_daemon_port: 1790" "bmp_daemon_max_peers: 100" "bmp_daemon_msglog_file: $tmp/$1.json"
}

# start_both_in_one: three nfacctd with a BMP daemon each: in0, in1, in2
start_both_in_one() {
	local i
	for i in 0 1 2; do
		config in$i 2100 3 "reuseport_pin_path: $bpffs/in" "bmp_daemon: true" "$(bmp_keys in$i)"
		start in$i $i
	done
	for i in 0 1 2; do await 20 is_up in$i $i; done
}

# start_beside: three nfacctd, out0, out1, out2, and three pmbmpd: daemon0, daemon1, daemon2
start_beside() {
	local i
	for i in 0 1 2; do
		config out$i 2100 3 "reuseport_pin_path: $bpffs/out"
		start out$i $i
		{
			bmp_keys daemon$i
			grep '^reuseport' "$tmp/out$i.conf"
		} >"$tmp/daemon$i.conf"
		run_daemon daemon$i $i "$pmbmpd" -f "$tmp/daemon$i.conf" -x $i
	done
	for i in 0 1 2; do
		await 20 is_up out$i $i
		await 20 has_line "$tmp/daemon$i-$i.log" 'listener bmp joined'
	done
}

# sessions NAME: the routers whose sessions each instance has seen since the last call, lines "router index"
sessions() {
	local i
	for i in 0 1 2; do
		jq -r --arg i $i 'select(.bmp_msg_type == "init") | .bmp_router + " " + $i' "$tmp/$1$i.json"
		: >"$tmp/$1$i.json"
	done | sort
}

# seen NAME: whether the instances have seen all sessions
seen() {
	[ "$(cat "$tmp/$1"?.json 2>/dev/null | grep -c '"init"')" -eq 60 ]
}

# connect NAME WORDS: 60 sessions up, and down again; $tmp/sessions says who was where
connect() {
	local family p
	for family in 4 6; do
		"$tools/exporter" bmp $family 1790 exporters=30 ports=1 >"$tmp/up$family" &
		echo $! >>"$tmp/connected"
	done
	ok "$2: 60 sessions are up" await 30 seen "$1"
	while read -r p; do kill "$p" && wait "$p" || true; done <"$tmp/connected" 2>/dev/null
	rm "$tmp/connected"
	sessions "$1" >"$tmp/sessions"
}

# connect_first NAME WORDS: the same; $tmp/first keeps who was where
connect_first() {
	connect "$1" "$2"
	cp "$tmp/sessions" "$tmp/first"
}

# flows NAME...: flows from the same 60 addresses; stops the instances; $tmp/flows says who was where
flows() {
	local family name
	for family in 4 6; do
		"$tools/exporter" netflow5 $family 2100 exporters=30 ports=3 datagrams=2 rate=4000 >/dev/null
	done
	stop_all "$@"
	for name in "$@"; do received "$name"; done | sed 's/ [0-9]*$//' | sort >"$tmp/flows"
	rm "$tmp"/*.csv
}

nfacctd_alone() {
	start_both_in_one
	connect_first in "nfacctd"
	is "each router at one instance" "$(cut -d' ' -f1 "$tmp/first" | sort -u | wc -l)" 60
	connect in "nfacctd, again"
	ok "after reconnecting, each is where it was" diff "$tmp/first" "$tmp/sessions"
	is "all three instances have some" "$(cut -d' ' -f2 "$tmp/first" | sort -u | wc -l)" 3
	flows in0 in1 in2
	ok "the flows of all 60 are at the instances of their sessions" diff "$tmp/first" "$tmp/flows"
	diag "nfacctd: routers by instance, BMP and flows: $(cut -d' ' -f2 "$tmp/first" | sort | uniq -c | tr -s ' \n' ' ')"
}

pmbmpd_beside_nfacctd() {
	start_beside
	connect_first daemon "pmbmpd beside nfacctd"
	connect daemon "pmbmpd beside nfacctd, again"
	ok "pmbmpd: after reconnecting, each router is where it was" diff "$tmp/first" "$tmp/sessions"
	flows out0 out1 out2
	ok "flows at nfacctd, sessions at pmbmpd: the same index for all 60" diff "$tmp/first" "$tmp/flows"
}

nfacctd_alone
pmbmpd_beside_nfacctd
done_testing
