#!/bin/sh
# nfacctd's DTLS port, with real exporters: what comes by DTLS and what comes without is at the same index, instances are taken over
# and drain. An instance ends also in the middle of a handshake that its client has abandoned.
. "${0%/*}/lib/daemons.sh"
need_daemons
need certtool gnutls-cli perl
sandbox

# ---- a handshake that its client abandons ----

make_certificate() {
	mkdir "$tmp/dtls"
	certtool --generate-privkey --outfile "$tmp/dtls/key.pem" >/dev/null 2>&1
	printf 'cn = test\nsigning_key\nencryption_key\n' >"$tmp/dtls/template"
	certtool --generate-self-signed --load-privkey "$tmp/dtls/key.pem" --template "$tmp/dtls/template" \
		--outfile "$tmp/dtls/cert.pem" >/dev/null 2>&1
	cp "$tmp/dtls/cert.pem" "$tmp/dtls/ca-certificates.crt"
}

# relay: forwards what a DTLS client sends, twice and never again; says so on stdout
relay() {
	# shellcheck disable=SC2016 # perl's variables
	perl -MIO::Socket::INET -MIO::Select -e '
		$| = 1;
		my $in = IO::Socket::INET->new(LocalAddr => "127.0.0.1:3000", Proto => "udp") or die $!;
		my $out = IO::Socket::INET->new(PeerAddr => "127.0.0.1:2302", Proto => "udp") or die $!;
		my ($client, $heard, $data) = (undef, 0);
		print "listening\n";
		for (my $s = IO::Select->new($in, $out); my @ready = $s->can_read(20);) {
			for (@ready) {
				if ($_ == $in) { $client = $in->recv($data, 65536); if ($heard++ < 2) { $out->send($data); print "forwarded $heard\n" } }
				else { $out->recv($data, 65536); $in->send($data, 0, $client) }
			}
		}' >"$tmp/relay.log" 2>&1 &
	echo $! >"$tmp/relays"
}

# begin_stuck_handshake: as when the client's address is another instance's from then on. It blocks upstream's core for as long as
# gnutls gives it, a minute; whether the instance ends after that is seen at the end.
begin_stuck_handshake() {
	config stuck 2300 1 "nfacctd_ip: 127.0.0.1" "nfacctd_dtls_port: 2302" "dtls_path: $tmp/dtls"
	start_and_wait stuck 0
	relay
	await 10 has_line "$tmp/relay.log" listening
	gnutls-cli --udp --insecure --port 3000 127.0.0.1 </dev/null >"$tmp/client.log" 2>&1 &
	echo $! >>"$tmp/relays"
	await 10 has_line "$tmp/relay.log" 'forwarded 2'
	# the core is in the handshake, once it has read what was forwarded
	await 10 queues_empty 2302
	kill -TERM "$(pid_of stuck 0)"
}

check_stuck_handshake() {
	local p
	ok "an instance in a handshake that its client abandons exits" await 75 gone "$(pid_of stuck 0)"
	like "it has drained" "$(cat "$tmp/stuck-0.log")" 'reuseport: drained: handled'
	while read -r p; do kill "$p" 2>/dev/null && wait "$p" || true; done <"$tmp/relays"
}

# ---- exporters with DTLS ----

# start_dtls: bound to the address that exporters know, or its answers come from another one of this sandbox's
start_dtls() {
	local old
	config dtls 2100 3 "nfacctd_ip: 127.0.0.1" "nfacctd_dtls_port: 2102" "dtls_path: $tmp/dtls" "reuseport_takeover: true"
	start_all dtls 3
	ok "nfacctd's port and its DTLS port join, in each instance" await 10 dtls_joined
	old=$(pid_of dtls 0)
	mv "$tmp/dtls-0.log" "$tmp/dtls.old"
	start dtls 0
	ok "an instance with DTLS that is taken over exits with 0" exits_with_0 "$old"
	await 10 dtls_joined
}

dtls_joined() {
	[ "$(cat "$tmp"/dtls-?.log | grep -cE 'listener nfacctd(_dtls)? joined')" -eq 6 ]
}

# start_probe N: a real exporter, with an address of its own
start_probe() {
	cat >"$tmp/probe.$1" <<-EOF
		pcap_interface: lo
		pcap_filter: udp port 9999
		plugins: nfprobe
		nfprobe_receiver: 127.0.0.1:2102
		nfprobe_source_ip: 10.0.0.$1
		nfprobe_version: 10
		nfprobe_timeouts: general=1:maxlife=2:expint=1
		nfprobe_dtls: true
		dtls_path: $tmp/dtls
	EOF
	"$tree/src/pmacctd" -f "$tmp/probe.$1" >"$tmp/probe.$1.log" 2>&1 &
	echo $! >>"$tmp/probes"
	ok "exporter $1 has a DTLS session" await 20 has_line "$tmp/probe.$1.log" 'dtls\] handshake: '
}

# export_by_dtls: one after the other: upstream's handshake, which begins with the first flow, takes whatever comes to the port for
# the client's. Upstream's nfprobe hangs when it is to end a DTLS session.
export_by_dtls() {
	local background p i
	"$tools/exporter" netflow5 4 9999 exporters=20 ports=1 datagrams=0 rate=20 >/dev/null &
	background=$!
	for i in 1 2 3 4 5 6; do start_probe $i; done
	sleep 3
	kill $background && wait $background
	while read -r p; do kill -KILL "$p" && wait "$p" 2>/dev/null || true; done <"$tmp/probes"
	"$tools/exporter" netflow5 4 2100 exporters=6 ports=1 datagrams=1 >/dev/null
	await 10 queues_empty 2100
	await 10 queues_empty 2102
}

check_dtls() {
	local i
	for i in 0 1 2; do
		ok "dtls $i exits with 0" stopped TERM "$(pid_of dtls $i)"
		like "dtls $i has drained" "$(cat "$tmp/dtls-$i.log")" 'reuseport: drained: handled'
	done
	received dtls >"$tmp/received"
	is "each is at one index, with what came by DTLS and what came without" \
		"$(awk '$3 > 1' "$tmp/received" | wc -l) $(wc -l <"$tmp/received")" "6 6"
	diag "exporter, index, packets: $(tr '\n' ';' <"$tmp/received")"
}

make_certificate
begin_stuck_handshake
start_dtls
export_by_dtls
check_dtls
check_stuck_handshake
done_testing
