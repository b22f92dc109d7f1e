#!/bin/sh
# Real exporters: softflowd and nfprobe, which sample and say so, recorded here; and recorded routers of pmacct's own test suite, Cisco's,
# Huawei's and others', which are not in this repository. With all that can happen to the instance that serves them, the flow records are
# those of one undisturbed instance.
#
#   RECORDED_ROUTERS  a clone of pmacct's repository: https://github.com/pmacct/pmacct; or none
#   RECORDINGS        a directory that gets what softflowd, nfprobe and sfprobe have exported, and nothing else is done: for make fuzz
. "${0%/*}/lib/traffic.sh"
need_traffic
need perl git tcpdump softflowd
[ -x "$tree/src/pmacctd" ] || skip_all "not built: run make build"
sandbox

columns="peer_src_ip, src_host, dst_host, src_port, dst_port, proto, tos, in_iface, out_iface, mpls_vpn_rd, sampling_rate"
# the development branch has more of what options data tell
[ "${RELEASE:-}" != tip ] || columns="$columns, ingress_vrf_name, egress_vrf_name, in_iface_name, out_iface_name"

# pcap FILE ARGUMENT...: see tests/tools/pcap.pl
pcap() {
	perl "$root/tests/tools/pcap.pl" "$@"
}

# recordings: their paths in the repository
recordings() {
	git -C "$RECORDED_ROUTERS" ls-tree -r --name-only HEAD tests | grep -E '^tests/(104|106|110|111|112|40[0-3]|50[0-2])-[^/]*/traffic-[0-9]+\.pcap$'
}

# configure NAME COUNT
configure() {
	config "$1" 2100 "$2" "aggregate[p]: $columns" "nfacctd_renormalize: true" "reuseport_takeover: true" "maps_entries: 1000"
}

# records NAME: the rows of all instances, packets and bytes added up
records() {
	cat "$tmp/$1"-?.csv | grep -v PEER_SRC_IP | awk -F, '{bytes = $NF; packets = $(NF - 1); sub(/,[^,]*,[^,]*$/, ""); p[$0] += packets; b[$0] += bytes}
		END {for (row in p) print row "," p[row] "," b[row]}' | sort
}

# part N OF FILE...: sends the Nth of so many parts of each recording, and waits until it is read
part() {
	local part="$1" parts="$2" file n
	shift 2
	for file in "$@"; do
		n=$(pcap "$file" count)
		pcap "$file" send $((n * part / parts)) $((n * (part + 1) / parts))
	done
	await 20 queues_empty 2100
	sleep 0.2
}

# undisturbed FILE...
undisturbed() {
	configure alone 1
	start_and_wait alone 0
	part 0 1 "$@"
	stop_all alone
}

# disturbed FILE...: instance 0 serves all, as long as it is there
disturbed() {
	local old prefix
	configure group 3
	start_all group 3
	for prefix in 0.0.0.0/0 ::/0; do "$reuseportctl" --pin-path "$bpffs/group" override add $prefix 0; done
	part 0 6 "$@"
	stopped INT "$(pid_of group 0)" || diag "it does not stop"
	part 1 6 "$@"
	start_and_wait group 0
	part 2 6 "$@"
	old=$(pid_of group 0)
	start_and_wait group 0
	exits_with_0 "$old" || diag "it is not taken over"
	part 3 6 "$@"
	crash group 0
	part 4 6 "$@"
	start_and_wait group 0
	part 5 6 "$@"
	stop_all group
}

# the_same NAME FILE...: the assertion; records of both are in $tmp/alone and $tmp/group
the_same() {
	local name="$1"
	shift
	rm -f "$tmp"/*.csv
	undisturbed "$@"
	disturbed "$@"
	records alone >"$tmp/alone"
	records group >"$tmp/group"
	ok "$name: $(wc -l <"$tmp/alone") different flow records: the same" diff "$tmp/alone" "$tmp/group"
}

# ---- softflowd and nfprobe ----

# has_settled FILE: something is in the recording, and tcpdump, which a busy machine lets wait, has added nothing for a second
has_settled() {
	local size
	[ -s "$1" ] || return 1
	size=$(stat -c %s "$1")
	sleep 1
	[ "$size" -gt 24 ] && [ "$(stat -c %s "$1")" -eq "$size" ]
}

# record FILE PORT COMMAND...: what comes to that port of the loopback while the command runs
record() {
	local file="$1" port="$2" recorder
	shift 2
	# what an earlier one wrote
	rm -f "$tmp/tcpdump"
	tcpdump --immediate-mode -i lo -s 0 -U -Z root -w "$file" -q udp dst port "$port" >/dev/null 2>"$tmp/tcpdump" &
	recorder=$!
	await 20 has_line "$tmp/tcpdump" 'listening on' || die "tcpdump does not record"
	"$@" >"$tmp/recorded.log" 2>&1 || die "$* fails: $(cat "$tmp/recorded.log")"
	await 60 has_settled "$file" || die "$* sends nothing"
	kill -INT $recorder
	wait $recorder || true
}

# Each has an address of its own
addresses='192.0.2.9 192.0.2.10 192.0.2.109 192.0.2.110'

export_by_softflowd() {
	softflowd -d -r "$tmp/traffic" -s 10 -v "$1" -n "192.0.2.$1:2200" -p "$tmp/softflowd.pid" -c none
}

export_by_nfprobe() {
	export_by_pmacctd "nfprobe_receiver: 192.0.2.$((100 + $1)):2200" "nfprobe_version: $1" "plugins: nfprobe[p]"
}

export_by_sfprobe() {
	export_by_pmacctd "sfprobe_receiver: 127.0.0.1:2200" "plugins: sfprobe[p]"
}

# export_by_pmacctd KEY...
export_by_pmacctd() {
	printf '%s\n' "$@" "pcap_savefile: $tmp/traffic" "sampling_rate: 10" "aggregate: src_host, dst_host, src_port, dst_port, proto" >"$tmp/pmacctd.conf"
	# 1: at the end of the file, its core has found its plugin gone first
	"$tree/src/pmacctd" -f "$tmp/pmacctd.conf" || [ $? -eq 1 ]
}

# record_exporters: what they export of 10,000 packets of 1,000 flows, less what a busy machine did not record
record_exporters() {
	local version address
	for address in $addresses; do ip address add "$address/32" dev lo; done
	record "$tmp/traffic" 2999 "$tools/exporter" netflow5 4 2999 exporters=200 ports=5 datagrams=10 rate=5000
	for version in 9 10; do
		record "$tmp/softflowd.$version" 2200 export_by_softflowd $version
		record "$tmp/nfprobe.$version" 2200 export_by_nfprobe $version
	done
}

real_exporters() {
	local address
	record_exporters
	the_same "softflowd and nfprobe, NetFlow v9 and IPFIX" "$tmp"/softflowd.9 "$tmp"/softflowd.10 "$tmp"/nfprobe.9 "$tmp"/nfprobe.10
	for address in $addresses; do
		awk -F, -v exporter="$address" '$1 == exporter {print $(NF - 1)}' "$tmp/group" >"$tmp/packets"
		ok "there are flow records of $address" [ -s "$tmp/packets" ]
		is "$address: numbers of packets that were not counted 10 times" "$(awk '$1 % 10' "$tmp/packets")" ""
	done
}

# ---- recorded routers ----

recorded_routers() {
	local path name
	recordings >"$tmp/recordings"
	at_least "recordings in $RECORDED_ROUTERS" "$(wc -l <"$tmp/recordings")" 10
	while read -r path; do
		name=${path#tests/}
		git -C "$RECORDED_ROUTERS" show "HEAD:$path" >"$tmp/pcap" 2>/dev/null || {
			diag "$name: this clone lacks it"
			continue
		}
		[ "$(pcap "$tmp/pcap" count)" -eq 0 ] || the_same "$name" "$tmp/pcap"
	done <"$tmp/recordings"
}

if [ -n "${RECORDINGS:-}" ]; then
	record_exporters
	record "$tmp/sfprobe.5" 2200 export_by_sfprobe
	mkdir -p "$RECORDINGS"
	ok "recordings are in $RECORDINGS" cp "$tmp"/softflowd.9 "$tmp"/softflowd.10 "$tmp"/nfprobe.9 "$tmp"/nfprobe.10 "$tmp"/sfprobe.5 "$RECORDINGS"
	done_testing
	exit
fi
real_exporters
case ${RECORDED_ROUTERS:-} in
none) diag "RECORDED_ROUTERS is none: recorded routers are left out" ;;
'')
	[ -z "${CHECK_STRICT:-}" ] || die "set RECORDED_ROUTERS to a clone of pmacct's repository, or to none"
	diag "set RECORDED_ROUTERS to a clone of pmacct's repository, to replay recorded routers, too"
	;;
*) recorded_routers ;;
esac
done_testing
