#!/bin/sh
# An exporter whose IPFIX options data say 0.0.0.0 and :: of its own address, as softflowd 1.1.1 does, keeps its name: that of the
# sender. Another address is the exporter's, as upstream has it.
. "${0%/*}/lib/daemons.sh"
need_daemons
need perl
sandbox

# router FROM DOMAIN FLOWS [V4 V6]: sends its templates, then options data with these addresses of its own, unless there are none,
# and then flows of one packet each, all in the observation domain
router() {
	# shellcheck disable=SC2016 # perl's variables
	perl -MSocket=:DEFAULT,inet_pton -e '
		my ($from, $domain, $flows, $v4, $v6) = @ARGV;
		socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
		bind($s, sockaddr_in(0, inet_aton($from))) or die "bind: $!";
		connect($s, sockaddr_in(2100, inet_aton("127.0.0.1"))) or die "connect: $!";
		my $sequence = 0;
		sub message {
			my ($records, @sets) = @_;
			my $sets = join "", map {pack("nn", $_->[0], 4 + length $_->[1]) . $_->[1]} @sets;
			send($s, pack("nnNNN", 10, 16 + length $sets, time, $sequence, $domain) . $sets, 0) or die "send: $!";
			$sequence += $records;
		}
		# 256: source, destination, packets, octets. 257: by metering process: sampling interval, and the addresses
		message(0, [2, pack("n*", 256, 4, 8, 4, 12, 4, 2, 4, 1, 4)], [3, pack("n*", 257, 4, 1, 143, 4, 34, 4, 130, 4, 131, 16)]);
		message(1, [257, pack("NN", 1, 1) . inet_aton($v4) . inet_pton(AF_INET6, $v6)]) if defined $v4;
		message(1, [256, pack("N*", 0xc0000201, 0xc6336401, 1, 100)]) for 1 .. $flows;' "$@"
}

# send_flows: as many of each router as its last octet and two, but for the last one, whose addresses change
send_flows() {
	router 10.0.0.1 0 3
	router 10.0.0.2 0 4 0.0.0.0 ::
	router 10.0.0.3 7 5 0.0.0.0 ::
	router 10.0.0.4 0 6 198.51.100.4 ::
	router 10.0.0.5 7 7 198.51.100.5 2001:db8::5
	router 10.0.0.6 7 8 0.0.0.0 ::
	router 10.0.0.6 7 9 198.51.100.6 ::
	router 10.0.0.6 7 10 0.0.0.0 ::
}

# flows_of NAME ADDRESS FLOWS: asserts how many the exporter with that address has
flows_of() {
	is "$1" "$(sed -n "s/^$2 //p" "$tmp/received")" "$3"
}

check_received() {
	received live | awk '{sum[$1] += $3} END {for (e in sum) print e, sum[e]}' | sort >"$tmp/received"
	flows_of "no options data: the sender" 10.0.0.1 3
	flows_of "0.0.0.0 and ::: the sender" 10.0.0.2 4
	flows_of "the same in another observation domain" 10.0.0.3 5
	flows_of "an IPv4 address: the exporter, as upstream" 198.51.100.4 6
	flows_of "IPv4 and IPv6 addresses: the IPv4 one, as upstream" 198.51.100.5 7
	flows_of "an address after 0.0.0.0 and :: counts" 198.51.100.6 9
	flows_of "and 0.0.0.0 and :: after it do not keep it" 10.0.0.6 18
	is "there are no other exporters" "$(wc -l <"$tmp/received")" 7
	is "all flows have arrived" "$(awk '{n += $2} END {print n}' "$tmp/received")" 52
}

config live 2100 2 "nfacctd_ip: 127.0.0.1"
start_all live 2
send_flows
stop_all live
check_received
done_testing
