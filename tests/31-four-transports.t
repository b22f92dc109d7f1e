#!/bin/sh
# Real routers, each of which sends NetFlow, sFlow, BGP and BMP from one address to four ports: all four are at the same
# index, whether nfacctd and sfacctd run as three instances each, or one is gone, or back; and so is sFlow that another host sends for
# them, if the group places it by agent.
. "${0%/*}/lib/daemons.sh"
need_daemons
need ip ss nsenter tcpdump
bgpd=/usr/lib/frr/bgpd
need $bgpd
sandbox
bridge 192.0.2.254/24 2001:db8::fe/64
# bgpd keeps there what it would need in a crash
mount -t tmpfs tmpfs /var/tmp

routers="1 2 3 4 5 6 7 8"

configure() {
	local daemon
	for daemon in nfacctd sfacctd; do
		cat >"$tmp/$daemon.conf" <<-EOF
			plugins: print
			aggregate: peer_src_ip
			print_output: csv
			print_output_file_append: true
			print_refresh_time: 1
			reuseport_hashbucket_count: 3
			reuseport_bpf_prog: $object
			reuseport_pin_path: $bpffs/four
		EOF
	done
	cat >>"$tmp/nfacctd.conf" <<-EOF
		nfacctd_port: 2100
		bgp_daemon: true
		bgp_daemon_ip: ::
		bgp_daemon_port: 1179
		bgp_daemon_max_peers: 20
	EOF
	cat >>"$tmp/sfacctd.conf" <<-EOF
		sfacctd_port: 6343
		bmp_daemon: true
		bmp_daemon_ip: ::
		bmp_daemon_port: 1790
		bmp_daemon_max_peers: 20
	EOF
}

# start_instance INDEX: nfacctd with BGP inside, sfacctd with BMP inside
start_instance() {
	for daemon in nfacctd sfacctd; do
		run_daemon "$daemon" "$1" "$tree/src/$daemon" -f "$tmp/$daemon.conf" -x "$1" -o "$tmp/$daemon-$1.csv"
	done
}

joined() {
	[ "$(cat "$tmp/nfacctd-$1.log" "$tmp/sfacctd-$1.log" | grep -c 'listener .* joined')" -eq 4 ]
}

# router ROUTER: sets what differs; the first half is IPv4, the others IPv6
router() {
	if [ "$1" -le 4 ]; then
		family=4 address=192.0.2.$1 prefix=192.0.2.$1/24 collector=192.0.2.254 receiver=192.0.2.254 network=198.18.$1.0/24
	else
		family=6 address=2001:db8::$1 prefix=2001:db8::$1/64 collector=2001:db8::fe receiver='[2001:db8::fe]' network=2001:db8:$1::/48
	fi
}

# start_router ROUTER: its namespace, and FRR in it
start_router() {
	router "$1"
	router_netns "r$1" "$prefix"
	mkdir "$tmp/frr.$1"
	cat >"$tmp/frr.$1/conf" <<-EOF
		router bgp 65000
		 bgp router-id 192.0.2.$1
		 no bgp network import-check
		 neighbor $collector remote-as 65000
		 neighbor $collector port 1179
		 neighbor $collector timers connect 1
		 address-family ipv$family unicast
		  network $network
		  neighbor $collector activate
		 exit-address-family
		 bmp targets test
		  bmp monitor ipv$family unicast pre-policy
		  bmp connect $collector port 1790 min-retry 100 max-retry 500
	EOF
	nsenter --net="/run/netns/r$1" $bgpd -f "$tmp/frr.$1/conf" -i "$tmp/frr.$1/pid" --vty_socket "$tmp/frr.$1" \
		-P 0 -Z -S -M bmp >"$tmp/frr.$1/log" 2>&1 &
	echo $! >"$tmp/frr.$1.pid"
}

# export_flows: every router exports the capture of its family, by pmacctd's nfprobe and sfprobe
export_flows() {
	for csv in "$tmp"/?facctd-?.csv; do : >"$csv"; done
	for r in $routers; do
		router "$r"
		cat >"$tmp/probe.$r" <<-EOF
			pcap_savefile: $tmp/capture$family
			plugins: nfprobe, sfprobe
			aggregate: src_host, dst_host, src_port, dst_port, proto
			nfprobe_receiver: $receiver:2100
			nfprobe_version: 10
			sfprobe_receiver: $receiver:6343
			sfprobe_agentip: $address
		EOF
		nsenter --net="/run/netns/r$r" "$tree/src/pmacctd" -f "$tmp/probe.$r" >"$tmp/probe.$r.log" 2>&1 &
		echo $!
	done >"$tmp/probes"
	while read -r p; do wait "$p" || true; done <"$tmp/probes"
	await 20 all_flows || diag "flows of all routers have not arrived"
}

all_flows() {
	[ "$(flows | cut -d' ' -f1,2 | sort -u | wc -l)" -eq 16 ]
}

# Where flows are: lines "router protocol index"
flows() {
	for i in 0 1 2; do
		for daemon in nfacctd sfacctd; do
			[ ! -e "$tmp/$daemon-$i.csv" ] || awk -F, -v i=$i -v d="$daemon" '$2 ~ /^[0-9]/ {print $1, d, i}' "$tmp/$daemon-$i.csv"
		done
	done | sort -u
}

# Where sessions are, likewise
sessions() {
	for port in 1179 1790; do
		for i in 0 1 2; do
			daemon=$([ $port -eq 1179 ] && echo nfacctd || echo sfacctd)
			[ ! -e "$tmp/$daemon-$i.pid" ] || peers $port "$(pid_of "$daemon" $i)" | sed "s/\$/ $port $i/"
		done
	done | sort
}

# places: all four transports, a line "router index..." each, with one index if all are at one
places() {
	{ flows && sessions; } | awk '{n[$1]++; if (!seen[$1, $3]++) at[$1] = at[$1] " " $3}
		END {for (r in at) print r, (n[r] == 4 ? "" : "only " n[r] " transports,") at[r]}' | tr -s ' ' | sort
}

# settled DEAD: whether all have both sessions, with their owner, or with another instance if that is dead
settled() {
	sessions >"$tmp/sessions"
	[ "$(wc -l <"$tmp/sessions")" -eq 16 ] || return 1
	[ ! -e "$tmp/owners" ] || awk -v dead="$1" 'NR == FNR {owner[$1] = $2; next}
		owner[$1] "" == dead ? $3 "" == dead : $3 != owner[$1] {bad++} END {exit bad > 0}' "$tmp/owners" "$tmp/sessions"
}

# ---- cases ----

start_instances() {
	local i
	for i in 0 1 2; do start_instance $i; done
	for i in 0 1 2; do ok "instance $i: two listeners of nfacctd and two of sfacctd join" await 30 joined $i; done
}

# connect: the routers' sessions, captured to be the flows that they export afterwards
connect() {
	local r capture
	tcpdump -Z root --immediate-mode -i br0 -w "$tmp/capture" tcp 2>"$tmp/tcpdump.log" &
	capture=$!
	await 5 has_line "$tmp/tcpdump.log" listening || die "tcpdump does not start"
	for r in $routers; do start_router "$r"; done
	ok "8 routers have their BGP and BMP sessions" await 30 settled none
	kill $capture
	wait $capture || true
	tcpdump -r "$tmp/capture" -w "$tmp/capture4" ip 2>/dev/null
	tcpdump -r "$tmp/capture" -w "$tmp/capture6" ip6 2>/dev/null
}

# check_first: all at one index; the index that has most of them is the $victim
check_first() {
	export_flows
	places >"$tmp/owners"
	is "all four transports of each at one index" "$(grep -c ' [012]$' "$tmp/owners")" 8
	is "at more than one index" "$([ "$(cut -d' ' -f2 "$tmp/owners" | sort -u | wc -l)" -gt 1 ] && echo yes)" yes
	diag "router index: $(tr '\n' ';' <"$tmp/owners")"
	victim=$(cut -d' ' -f2 "$tmp/owners" | sort | uniq -c | sort -rn | awk 'NR == 1 {print $2}')
}

kill_victim() {
	local daemon
	for daemon in nfacctd sfacctd; do
		kill -KILL "$(pid_of $daemon "$victim")"
		wait "$(pid_of $daemon "$victim")" 2>/dev/null || true
		rm "$tmp/$daemon-$victim.pid" "$tmp/$daemon-$victim.csv"
	done
	ok "index $victim is gone: its routers connect to others" await 60 settled "$victim"
	export_flows
	places >"$tmp/away"
	is "index $victim is gone: all four transports of each at one index" "$(grep -c ' [012]$' "$tmp/away")" 8
	is "index $victim is gone: routers of others that have moved" \
		"$(grep -v " $victim\$" "$tmp/owners" | sort | diff - "$tmp/away" | grep -c '^<')" 0
	diag "router index: $(tr '\n' ';' <"$tmp/away")"
}

bring_back_victim() {
	start_instance "$victim"
	ok "index $victim is back" await 30 joined "$victim"
	ok "its routers connect to it again" await 60 settled none
	like "they have been told to" "$(cat "$tmp"/nfacctd-?.log)" \
		'closing its session with listener bgp: index '"$victim"' serves this router now'
	export_flows
	places >"$tmp/back"
	ok "all four transports of each are where they were" diff "$tmp/owners" "$tmp/back"
}

# send_for_all: routers 1 and 5 send sFlow for those of their family, as a proxy does; where it is then goes to $tmp/sflow, lines "router
# index". sfprobe (sflow_receiver.c, 1.7.6 to 1.8.1) writes an agent's address right only if the collector's is of its family
send_for_all() {
	local r csv proxy
	for csv in "$tmp"/?facctd-?.csv; do : >"$csv"; done
	for r in $routers; do
		router "$r"
		printf '%s\n' "pcap_savefile: $tmp/capture$family" "plugins: sfprobe" "aggregate: src_host, dst_host, src_port, dst_port, proto" \
			"sfprobe_receiver: $receiver:6343" "sfprobe_agentip: $address" >"$tmp/proxy.$r"
		proxy=$([ "$family" -eq 4 ] && echo 1 || echo 5)
		nsenter --net=/run/netns/r"$proxy" "$tree/src/pmacctd" -f "$tmp/proxy.$r" >"$tmp/proxy.$r.log" 2>&1 &
		echo $!
	done >"$tmp/probes"
	while read -r p; do wait "$p" || true; done <"$tmp/probes"
	await 20 all_agents || diag "sFlow of all routers has not arrived"
	flows | cut -d' ' -f1,3 | sort -u >"$tmp/sflow"
}

all_agents() {
	[ "$(flows | cut -d' ' -f1 | sort -u | wc -l)" -eq 8 ]
}

check_agents() {
	send_for_all
	is "sFlow that another host sends for a router: where that host's is" \
		"$(sed -n 's/^192.* //p' "$tmp/sflow" | uniq) $(sed -n 's/^2001.* //p' "$tmp/sflow" | uniq)" \
		"$(sed -n 's/^192.0.2.1 //p' "$tmp/owners") $(sed -n 's/^2001:db8::5 //p' "$tmp/owners")"
	like "sflow agent" "$("$reuseportctl" -p "$bpffs/four" sflow agent)" "^$bpffs/four: sFlow by agent, by sender before"
	send_for_all
	ok "by agent: where each router's own flows and sessions are" diff "$tmp/owners" "$tmp/sflow"
	cut -d' ' -f1 "$tmp/owners" | "$reuseportctl" -p "$bpffs/four" -l sfacctd where - >"$tmp/where"
	is "where says the same" "$(sed -n "s/^\([0-9a-f.:]*\) *\([0-9]\) .*hash, as sFlow's agent$/\1 \2/p" "$tmp/where")" "$(cat "$tmp/owners")"
	like "exporters says that these are senders" "$("$reuseportctl" -p "$bpffs/four" -l sfacctd exporters)" "^these are senders; sFlow is placed by the agents"
	like "rebalance refuses: samples are of senders" "$("$reuseportctl" -p "$bpffs/four" -l sfacctd rebalance 2>&1 || true)" \
		"sFlow agents have their buckets here, but samples tell senders apart"
	like "sflow sender" "$("$reuseportctl" -p "$bpffs/four" sflow sender)" "sFlow by sender, by agent before"
}

# stop_the_victim: each of its routers gets a BGP NOTIFICATION before the session ends: Cease (6), Administrative Shutdown (2), and why
stop_the_victim() {
	local capture served
	served=$(grep -c " $victim\$" "$tmp/owners")
	# what an earlier one wrote
	rm -f "$tmp/tcpdump.log"
	tcpdump -Z root --immediate-mode -U -i br0 -w "$tmp/notifications" tcp src port 1179 2>"$tmp/tcpdump.log" &
	capture=$!
	await 5 has_line "$tmp/tcpdump.log" listening || die "tcpdump does not start"
	kill -TERM "$(pid_of nfacctd "$victim")"
	ok "nfacctd $victim exits with 0" exits_with_0 "$(pid_of nfacctd "$victim")"
	ok "each of its $served routers is told why, on the wire" await 5 notified "$served"
	kill $capture
	wait $capture || true
}

notified() {
	[ "$(perl -0777 -ne 'print scalar(() = /\xff{16}..\x03\x06\x02.this collector stops, another one serves this router/gs)' "$tmp/notifications")" -eq "$1" ]
}

stop_everything() {
	local r i daemon
	for r in $routers; do kill "$(cat "$tmp/frr.$r.pid")" && wait "$(cat "$tmp/frr.$r.pid")" || true; done
	for i in 0 1 2; do
		for daemon in nfacctd sfacctd; do [ $daemon-$i = "nfacctd-$victim" ] || kill -INT "$(pid_of $daemon $i)"; done
	done
	for i in 0 1 2; do
		for daemon in nfacctd sfacctd; do
			[ $daemon-$i = "nfacctd-$victim" ] || ok "$daemon $i exits with 0" exits_with_0 "$(pid_of $daemon $i)"
		done
	done
}

configure
start_instances
connect
check_first
kill_victim
bring_back_victim
check_agents
stop_the_victim
stop_everything
done_testing
