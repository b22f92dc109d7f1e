#!/bin/sh
# One exporter over three of four instances, by an override: by domain, real probes with source ids and observation domains, each at one
# instance; by port, those of NetFlow v5. All that they send is decoded.
. "${0%/*}/lib/daemons.sh"
need_daemons
need softflowd perl
[ -x "$tree/src/pmacctd" ] || skip_all "no pmacctd: run make build"
sandbox

flows=200

# capture: one packet of each flow, in $tmp/capture
capture() {
	# shellcheck disable=SC2016 # perl's variables
	perl -e 'print pack("LSSlLLL", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1);
		for my $flow (1 .. $ARGV[0]) {
			my $udp = pack("nnnn", 1024 + $flow, 53, 12, 0) . "data";
			my $ip = pack("CCnnnCCna4a4", 0x45, 0, 20 + length $udp, $flow, 0, 64, 17, 0, "\xc6\x12\0\1", "\xc6\x12\0\2");
			my $sum = 0;
			$sum += $_ for unpack "n*", $ip;
			$sum = ($sum & 0xffff) + ($sum >> 16) for 1, 2;
			substr $ip, 10, 2, pack("n", ~$sum & 0xffff);
			my $frame = "\2\0\0\0\0\1\2\0\0\0\0\2\x08\0$ip$udp";
			print pack("LLLL", 1700000000, $flow, (length $frame) x 2) . $frame;
		}' $flows >"$tmp/capture"
}

# probe VERSION ID...: pmacct's nfprobe, one for each source id or observation domain, all from 127.0.0.1
probe() {
	local version="$1" id
	shift
	{
		printf '%s\n' "pcap_savefile: $tmp/capture" "nfprobe_receiver: 127.0.0.1:2100" "nfprobe_version: $version" \
			"aggregate: src_host, dst_host, src_port, dst_port, proto" "plugins: $(printf ', nfprobe[p%s]' "$@" | cut -c3-)"
		for id; do echo "nfprobe_engine[p$id]: $id"; done
	} >"$tmp/probe.conf"
	"$tree/src/pmacctd" -f "$tmp/probe.conf" >"$tmp/probe.log" 2>&1 || true
}

# softflow VERSION
softflow() {
	softflowd -d -r "$tmp/capture" -v "$1" -n 127.0.0.1:2100 -p "$tmp/softflowd.pid" -c none >/dev/null 2>&1
}

override() {
	quietly "$reuseportctl" --pin-path "$bpffs/live" override add "$@"
}

# counted: what the instances wrote, lines "domain index packets"
counted() {
	local csv i
	for csv in "$tmp"/live-*.csv; do
		i=${csv##*-}
		[ ! -f "$csv" ] || awk -F, -v i="${i%.csv}" '$1 == "PEER_SRC_IP" {for (n = 1; n <= NF; n++) column[$n] = n; next}
			$1 == "127.0.0.1" {sum[$column["EXPORT_PROTO_SYSID"]] += $column["PACKETS"]}
			END {for (d in sum) print d, i, sum[d]}' "$csv"
	done | sort -n
}

# has_counted PACKETS: whether they have written so many
has_counted() {
	[ "$(counted | awk '{n += $3} END {print n + 0}')" -eq "$1" ]
}

send_by_domain() {
	ok "override add --spread --by domain" override 127.0.0.1 --spread 1-3 --by domain
	is "where: an instance for each bucket of the range" \
		"$("$reuseportctl" -p "$bpffs/live" where 127.0.0.1 | sed -n 's/^127.0.0.1 *\([0-9]\) .*  \(override.*\)/\1 \2/p' | tr '\n' ';')" \
		"1 override, spread by domain;2 override, spread by domain;3 override, spread by domain;"
	probe 9 1 2 3 4 5
	probe 10 6 7 8 256 512
	softflow 9
	ok "by domain: all packets of 11 domains are counted" await 20 has_counted $((11 * flows))
	counted >"$tmp/counted"
	is "by domain: each is at one instance, and complete" "$(awk -v n=$flows '$3 == n' "$tmp/counted" | cut -d' ' -f1 | uniq | wc -l)" 11
	is "by domain: those from 0 to 8 follow each other" "$(awk '$1 < 9 {print $2}' "$tmp/counted" | tr '\n' ' ')" "1 2 3 1 2 3 1 2 3 "
	diag "domain and index: $(awk '{print $1 ":" $2}' "$tmp/counted" | tr '\n' ' ')"
}

send_by_port() {
	local left=12
	ok "override add --spread --by port" override 127.0.0.1 --spread 1-3 --by port
	while [ $left -gt 0 ]; do
		softflow 5
		left=$((left - 1))
	done
	ok "by port: all packets of 12 ports are counted" await 20 has_counted $((23 * flows))
	counted >"$tmp/after"
	is "by port: instances that have had some" "$(diff "$tmp/counted" "$tmp/after" | sed -n 's/^> [0-9]* \([0-9]\) .*/\1/p' | sort -u | sed 's/^[123]$/of three/' | uniq)" "of three"
	ok "by port: more than one" [ "$(diff "$tmp/counted" "$tmp/after" | sed -n 's/^> [0-9]* \([0-9]\) .*/\1/p' | sort -u | wc -l)" -gt 1 ]
	is "index 0 has had nothing" "$(awk '$2 == 0' "$tmp/after")" ""
}

config live 2100 4 "nfacctd_ip: 127.0.0.1" "aggregate[p]: peer_src_ip, export_proto_sysid" "print_refresh_time[p]: 1"
capture
start_all live 4
send_by_domain
send_by_port
stop_all live
done_testing
