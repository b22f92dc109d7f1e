#!/bin/sh
# The listeners beside nfacctd's port and BMP: nfacctd's templates port, sfacctd, pmbgpd, pmtelemetryd with UDP and with
# TCP, all in one group. Each exporter is at the same index with all of them; while instances stop, start and are taken
# over, under load, nothing that comes by UDP is lost, and sessions come home. And DTLS.
. "${0%/*}/lib.sh"
need_daemons
need ss jq certtool gnutls-cli perl
sandbox

mkdir "$tmp/dtls"
certtool --generate-privkey --outfile "$tmp/dtls/key.pem" >/dev/null 2>&1
printf 'cn = test\nsigning_key\nencryption_key\n' >"$tmp/dtls/template"
certtool --generate-self-signed --load-privkey "$tmp/dtls/key.pem" --template "$tmp/dtls/template" --outfile "$tmp/dtls/cert.pem" >/dev/null 2>&1
cp "$tmp/dtls/cert.pem" "$tmp/dtls/ca-certificates.crt"

# The handshake of a client that is heard twice and never again, as when its address is another instance's from then on. It
# blocks upstream's core for as long as gnutls gives it, a minute. Whether the instance ends after that is seen at the end.
config stuck 2300 1 "nfacctd_ip: 127.0.0.1" "nfacctd_dtls_port: 2302" "dtls_path: $tmp/dtls"
start_and_wait stuck 0
# shellcheck disable=SC2016 # perl's variables
perl -MIO::Socket::INET -MIO::Select -e '
	my $in = IO::Socket::INET->new(LocalAddr => "127.0.0.1:3000", Proto => "udp") or die $!;
	my $out = IO::Socket::INET->new(PeerAddr => "127.0.0.1:2302", Proto => "udp") or die $!;
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
kill -TERM "$(pid_of stuck 0)"

kinds='nfacctd sfacctd pmbgpd telemetry_udp telemetry_tcp' flows='nfacctd sfacctd telemetry_udp'
if [ "$(release_of "$tree")" = 1.7.6 ]; then
	diag "without telemetry by UDP: pmtelemetryd 1.7.6 crashes after its 50th exporter, without our keys too"
	kinds='nfacctd sfacctd pmbgpd telemetry_tcp' flows='nfacctd sfacctd'
fi
# nfacctd has two
listeners=$(($(echo "$kinds" | wc -w) + 1))

# keys KIND: what its config has beside the group's keys
keys() {
	case $1 in
	nfacctd) printf '%s\n' "nfacctd_port: 2100" "nfacctd_templates_port: 2101" "nfacctd_pipe_size: 4000000" ;;
	sfacctd) printf '%s\n' "sfacctd_port: 6343" "sfacctd_pipe_size: 4000000" ;;
	pmbgpd) printf '%s\n' "bgp_daemon_port: 1179" "bgp_daemon_max_peers: 100" ;;
	telemetry_udp) printf '%s\n' "telemetry_daemon_port_udp: 5555" "telemetry_daemon_pipe_size: 4000000" ;;
	telemetry_tcp) printf '%s\n' "telemetry_daemon_port_tcp: 5556" ;;
	esac
	case $1 in
	?facctd) printf '%s\n' "plugins: print[p]" "aggregate[p]: peer_src_ip, dst_port" "print_output[p]: csv" \
		"print_output_file_append[p]: true" "print_refresh_time[p]: 600" ;;
	telemetry*) printf '%s\n' "telemetry_daemon_decoder: json" "telemetry_daemon_max_peers: 200" ;;
	esac
}

for kind in $kinds; do
	{
		keys "$kind"
		cat <<-EOF
			reuseport_hashbucket_count: 3
			reuseport_bpf_prog: $object
			reuseport_pin_path: $bpffs/all
			reuseport_takeover: true
		EOF
	} >"$tmp/$kind.conf"
done

program_of() {
	case $1 in telemetry*) echo "$tree/src/pmtelemetryd" ;; *) echo "$tree/src/$1" ;; esac
}

# begin KIND INDEX: an instance of it; its output goes to $tmp/KIND-INDEX.csv
begin() {
	"$(program_of "$1")" -f "$tmp/$1.conf" -x "$2" -o "$tmp/$1-$2.csv" >"$tmp/$1-$2.log" 2>&1 &
	echo $! >"$tmp/$1-$2.pid"
}

# begin_all INDEX: of each kind, and waits until they read
begin_all() {
	for kind in $kinds; do begin "$kind" "$1"; done
	wait_for 30 all_read "$1" || die "index $1 does not start: $(tail -n 3 "$tmp"/*-"$1".log)"
}

all_read() {
	[ "$(for kind in $kinds; do cat "$tmp/$kind-$1.log"; done | grep -c 'listener .* joined')" -eq $listeners ] || return 1
	for kind in nfacctd sfacctd; do
		grep -q 'cache entries=' "$tmp/$kind-$1.log" || return 1
	done
}

for i in 0 1 2; do begin_all $i; done
is "$listeners listeners, each with three sockets in its array" "$(cat "$tmp"/*-2.log | grep -c 'as index 2 of 3 (3 live')" $listeners

# By UDP, 50 exporters of each family; and sessions
# upstream gives the templates port no larger receive buffer than the system's
for to in "nfacctd netflow5 2101 500" "sfacctd sflow 6343 1500" "telemetry_udp telemetry 5555 1500"; do
	# shellcheck disable=SC2086 # words on purpose
	set -- $to
	case $kinds in *$1*) ;; *) continue ;; esac
	for family in 4 6; do
		"$tools/exporter" "$2" $family "$3" exporters=50 ports=2 datagrams=0 rate="$4" slot=1000 report="$tmp/$1.$family.report" >/dev/null &
		echo $! >>"$tmp/senders"
	done
done
for to in "pmbgpd bgp 1179" "telemetry_tcp telemetry_tcp 5556"; do
	# shellcheck disable=SC2086
	set -- $to
	for family in 4 6; do
		"$tools/exporter" "$2" $family "$3" exporters=30 ports=1 >"$tmp/$1.$family.up" &
		echo $! >>"$tmp/senders"
	done
done

# sessions PORT KIND: where they are, lines "exporter index"
sessions() {
	for i in 0 1 2; do
		[ ! -e "$tmp/$2-$i.pid" ] || peers "$1" "$(pid_of "$2" $i)" | sed "s/\$/ $i/"
	done | sort
}

# at_home: 60 sessions of either kind, and the same places; or, before there is a list of them, just so many
at_home() {
	sessions 1179 pmbgpd >"$tmp/bgp"
	sessions 5556 telemetry_tcp >"$tmp/telemetry"
	[ "$(wc -l <"$tmp/bgp")" -eq 60 ] && cmp -s "$tmp/bgp" "$tmp/telemetry" && { [ ! -e "$tmp/home" ] || cmp -s "$tmp/bgp" "$tmp/home"; }
}

ok "60 routers have BGP and telemetry sessions, both of each at one index" wait_for 30 at_home
cp "$tmp/bgp" "$tmp/home"
is "all three indexes have some" "$(cut -d' ' -f2 "$tmp/home" | sort -u | wc -l)" 3
diag "sessions by index: $(cut -d' ' -f2 "$tmp/home" | sort | uniq -c | tr -s ' \n' ' ')"

# Stop and start, by either signal
for signal in INT TERM; do
	for kind in $kinds; do
		ok "$kind 1 exits on SIG$signal, by itself and with 0" stopped $signal "$(pid_of "$kind" 1)"
		case $kind in
		pmbgpd | *tcp) like "having left" "$(cat "$tmp/$kind-1.log")" 'reuseport: left: ' ;;
		*) like "having drained" "$(cat "$tmp/$kind-1.log")" 'reuseport: drained: handled [0-9]+ more datagrams' ;;
		esac
		rm "$tmp/$kind-1.pid"
	done
	mv "$tmp/home" "$tmp/home.kept"
	ok "its sessions are with the others, both of each at one index" wait_for 30 at_home
	mv "$tmp/home.kept" "$tmp/home"
	begin_all 1
done
ok "the sessions come home" wait_for 60 at_home

# Taken over
for kind in $kinds; do
	old=$(pid_of "$kind" 2)
	mv "$tmp/$kind-2.log" "$tmp/$kind.old"
	begin "$kind" 2
	status=0
	wait "$old" || status=$?
	is "$kind 2, taken over, exits by itself" "$status" 0
	like "and says why" "$(cat "$tmp/$kind.old")" "index 2 of listener .* was taken over by .* pid $(pid_of "$kind" 2)\."
done
wait_for 30 all_read 2 || die "index 2 does not start"
ok "the sessions are where they were" wait_for 60 at_home

# Refused
for kind in $kinds; do
	sed '/takeover/d' "$tmp/$kind.conf" >"$tmp/refused.conf"
	status=0
	"$(program_of "$kind")" -f "$tmp/refused.conf" -x 0 >"$tmp/refused" 2>&1 || status=$?
	is "$kind with an index in use: exit status, lines" "$status $(grep -c ERROR "$tmp/refused")" "1 1"
	like "says so" "$(cat "$tmp/refused")" "reuseport_hashbucket_index 0 is in use in $bpffs/all by .* pid $(pid_of "$kind" 0) at index 0 of listener"
done

sleep 2
while read -r p; do kill "$p" && wait "$p"; done <"$tmp/senders"
sleep 1
for i in 0 1 2; do
	for kind in $kinds; do ok "$kind $i exits with 0" stopped INT "$(pid_of "$kind" $i)"; done
done

# What arrived, lines "exporter slot flows index"
arrived() {
	if [ "$1" = telemetry_udp ]; then
		for i in 0 1 2; do
			# as until 1.7.9, and as from then on
			jq -r --arg i $i '(.telemetry_data // .payload) as $data | select($data) |
				"\(.telemetry_node // ."telemetry-message-metadata"."export-address") \($data.slot) 1 \($i)"' "$tmp/$1-$i.csv"
		done
	else
		received_by_slot "$1"
	fi
}
for kind in $flows; do
	sent "$tmp/$kind".[46].report
	arrived "$kind" >"$tmp/arrived"
	not_in <"$tmp/arrived" >"$tmp/missing"
	sent=$(awk '{n += $3} END {print n}' "$tmp/sent") lost=$(awk '{n += $3} END {print n + 0}' "$tmp/missing")
	is "$kind: of $sent sent by UDP, lost" "$lost" 0
	diag "$kind: $sent sent by UDP, $lost lost"
	[ ! -s "$tmp/missing" ] || diag "exporter, slot, flows, protocol: $(head -n 20 "$tmp/missing")"
	# at the end all are at home; of the same addresses there are sessions
	slot=$(awk '$2 > max {max = $2} END {print max - 1}' "$tmp/sent")
	awk -v slot="$slot" '$2 == slot {print $1, $4}' "$tmp/arrived" | sort -u | join - "$tmp/home" >"$tmp/both"
	is "$kind: exporters that were, in the last second, where their sessions are" "$(awk '$2 == $3' "$tmp/both" | wc -l)" 60
done

# DTLS, by a real exporter: from each of 20 addresses, at one instance
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
for i in 0 1 2; do
	ok "it exits with 0" stopped TERM "$(pid_of dtls $i)"
	like "having drained" "$(cat "$tmp/dtls-$i.log")" 'reuseport: drained: handled'
done
received dtls >"$tmp/received"
is "each is at one index, with what came by DTLS and what came without" "$(awk '$3 > 1' "$tmp/received" | wc -l) $(wc -l <"$tmp/received")" "6 6"
diag "exporter, index, packets: $(tr '\n' ';' <"$tmp/received")"

ok "an instance in a handshake that nobody continues exits" wait_for 75 gone "$(pid_of stuck 0)"
like "having drained" "$(cat "$tmp/stuck-0.log")" 'reuseport: drained: handled'
while read -r p; do kill "$p" 2>/dev/null && wait "$p" || true; done <"$tmp/relay"
done_testing
