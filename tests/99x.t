#!/bin/sh
# The listeners beside nfacctd's port and BMP: nfacctd's templates port, sfacctd, pmbgpd, pmtelemetryd with UDP and with
# TCP, all in one group. Each exporter is at the same index with all of them; while instances stop, start and are taken
# over, under load, nothing that comes by UDP is lost, and sessions come home. And DTLS.
. "${0%/*}/lib.sh"
need_daemons
need ss jq certtool gnutls-cli perl
sandbox
# DTLS, by a real exporter: from each of 20 addresses, at one instance
mkdir "$tmp/dtls"
certtool --generate-privkey --outfile "$tmp/dtls/key.pem" >/dev/null 2>&1
printf 'cn = test\nsigning_key\nencryption_key\n' >"$tmp/dtls/template"
certtool --generate-self-signed --load-privkey "$tmp/dtls/key.pem" --template "$tmp/dtls/template" --outfile "$tmp/dtls/cert.pem" >/dev/null 2>&1
cp "$tmp/dtls/cert.pem" "$tmp/dtls/ca-certificates.crt"
# bound to the address that exporters know: or its answers come from another one of this sandbox's
config dtls 2100 3 "nfacctd_ip: 127.0.0.1" "nfacctd_dtls_port: 2102" "dtls_path: $tmp/dtls" "reuseport_takeover: true"
start_all dtls 3
joined() {
	[ "$(cat "$tmp"/dtls-?.log | grep -cE 'listener nfacctd(_dtls)? joined')" -eq 6 ]
}
ok "nfacctd's port and its DTLS port join, in each instance" wait_for 10 joined
old=$(pid_of dtls 0)
mv "$tmp/dtls-0.log" "$tmp/dtls.old"
start dtls 0
ok "an instance that is taken over exits with 0" wait "$old"
wait_for 10 joined
# One after the other: upstream's handshake, which begins with the first flow, takes whatever comes to the port for the client's
"$tools/exporter" netflow5 4 9999 exporters=20 ports=1 datagrams=0 rate=20 >/dev/null &
background=$!
for i in 1 2 3 4 5 6; do
	cat >"$tmp/probe.$i" <<-EOF
		pcap_interface: lo
		pcap_filter: udp port 9999
		plugins: nfprobe
		nfprobe_receiver: 127.0.0.1:2102
		nfprobe_source_ip: 10.0.0.$i
		nfprobe_version: 10
		nfprobe_timeouts: general=1:maxlife=2:expint=1
		nfprobe_dtls: true
		dtls_path: $tmp/dtls
	EOF
	"$tree/src/pmacctd" -f "$tmp/probe.$i" >"$tmp/probe.$i.log" 2>&1 &
	echo $! >>"$tmp/probes"
	ok "exporter $i has a DTLS session" wait_for 20 grep -q 'dtls\] handshake: ' "$tmp/probe.$i.log"
done
sleep 3
kill $background && wait $background
# upstream's nfprobe hangs when it is to end a DTLS session
while read -r p; do kill -KILL "$p" && wait "$p" 2>/dev/null || true; done <"$tmp/probes"
"$tools/exporter" netflow5 4 2100 exporters=6 ports=1 datagrams=1 >/dev/null
sleep 1
# A client that is heard twice and never again, as when its address is another instance's from then on
# shellcheck disable=SC2016 # perl's variables
perl -MIO::Socket::INET -MIO::Select -e '
	my $in = IO::Socket::INET->new(LocalAddr => "127.0.0.1:3000", Proto => "udp") or die $!;
	my $out = IO::Socket::INET->new(PeerAddr => "127.0.0.1:2102", Proto => "udp") or die $!;
	my ($client, $heard, $data) = (undef, 0);
	for (my $s = IO::Select->new($in, $out); my @ready = $s->can_read(20);) {
		for (@ready) {
			if ($_ == $in) { $client = $in->recv($data, 65536); $out->send($data) if $heard++ < 2 }
			else { $out->recv($data, 65536); $in->send($data, 0, $client) }
		}
	}' &
echo $! >"$tmp/relay"
sleep 1
gnutls-cli --udp --insecure --port 3000 127.0.0.1 </dev/null >"$tmp/client.log" 2>&1 &
echo $! >>"$tmp/relay"
sleep 2
for i in 0 1 2; do
	since=$(date +%s%N)
	ok "it exits with 0" stopped TERM "$(pid_of dtls $i)"
	ok "within 15 s: $(ms_since "$since") ms" [ "$(ms_since "$since")" -lt 15000 ]
	like "having drained" "$(cat "$tmp/dtls-$i.log")" 'reuseport: drained: handled'
done
while read -r p; do kill "$p" && wait "$p" || true; done <"$tmp/relay"
received dtls >"$tmp/received"
is "each is at one index, with what came by DTLS and what came without" "$(awk '$3 > 1' "$tmp/received" | wc -l) $(wc -l <"$tmp/received")" "6 6"
diag "exporter, index, packets: $(tr '\n' ';' <"$tmp/received")"
done_testing
