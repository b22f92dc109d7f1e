#!/bin/sh
# The listeners beside nfacctd's port and BMP: nfacctd's templates port, sfacctd, pmbgpd, pmtelemetryd with UDP and with
# TCP, all in one group. Each exporter is at the same index with all of them; while instances stop, start and are taken
# over, under load, nothing that comes by UDP is lost, and sessions return to their index.
. "${0%/*}/lib/traffic.sh"
need_traffic
need ss jq
sandbox

# kinds: the daemons, and those of them that have flows
kinds='nfacctd sfacctd pmbgpd telemetry_udp telemetry_tcp' flows='nfacctd sfacctd telemetry_udp'
case $(cat "$tree/VERSION") in
1.7.6*)
	diag "without telemetry by UDP: pmtelemetryd 1.7.6 crashes after its 50th exporter, without our keys too"
	kinds='nfacctd sfacctd pmbgpd telemetry_tcp' flows='nfacctd sfacctd'
	;;
esac
# nfacctd has two
listeners=$(($(echo "$kinds" | wc -w) + 1))

# ---- the instances ----

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

configure() {
	local kind
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
}

program_of() {
	case $1 in telemetry*) echo "$tree/src/pmtelemetryd" ;; *) echo "$tree/src/$1" ;; esac
}

# begin KIND INDEX: an instance of it; its output goes to $tmp/KIND-INDEX.csv
begin() {
	run_daemon "$1" "$2" "$(program_of "$1")" -f "$tmp/$1.conf" -x "$2" -o "$tmp/$1-$2.csv"
}

# begin_all INDEX...: of each kind, and waits until they read
begin_all() {
	local i kind
	for i in "$@"; do
		for kind in $kinds; do begin "$kind" "$i"; done
	done
	for i in "$@"; do await 30 all_read "$i" || die "index $i does not start"; done
}

all_read() {
	local kind
	[ "$(for kind in $kinds; do cat "$tmp/$kind-$1.log"; done | grep -c 'listener .* joined')" -eq $listeners ] || return 1
	for kind in nfacctd sfacctd; do
		grep -q 'cache entries=' "$tmp/$kind-$1.log" || return 1
	done
}

check_start() {
	is "$listeners listeners, each with three sockets in its array" \
		"$(cat "$tmp"/*-?.log | grep -o 'listener [a-z_]* joined .*([0-9] live' | sort | sed 's/.*listener \([a-z_]*\) .*(\([0-9]\) live/\1 \2/' | grep -c ' 3$')" $listeners
}

# templates_buffer: pmacct does not apply nfacctd_pipe_size to the templates port, which gets what the system allows, up to 16 MiB; the kernel
# doubles it
templates_buffer() {
	local most
	most=$(cat /proc/sys/net/core/rmem_max)
	[ "$most" -lt 16777216 ] || most=16777216
	at_least "bytes of the templates port's receive buffer" "$(ss -Hulnm 'sport = :2101' | grep -o 'rb[0-9]*' | cut -c3- | sort -n | head -n 1)" $((2 * most))
}

# ---- traffic ----

# what_is_sent KIND: protocol, port, and rate of each family
what_is_sent() {
	case $1 in
	nfacctd) echo netflow5 2101 500 ;;
	sfacctd) echo sflow 6343 1500 ;;
	telemetry_udp) echo telemetry 5555 1500 ;;
	esac
}

# send_all: 50 exporters of each family by UDP, and 30 routers of each by TCP
send_all() {
	local kind protocol port rate family
	for kind in $flows; do
		# shellcheck disable=SC2046 # words on purpose
		set -- $(what_is_sent "$kind")
		protocol=$1 port=$2 rate=$3
		for family in 4 6; do
			start_sender "$kind" "$protocol" $family "$port" exporters=50 ports=2 rate="$rate" period=1000
		done
	done
	start_routers pmbgpd bgp 1179 30
	start_routers telemetry_tcp telemetry_tcp 5556 30
}

# sessions PORT KIND: where they are, lines "exporter index"
sessions() {
	local i
	for i in 0 1 2; do
		[ ! -e "$tmp/$2-$i.pid" ] || peers "$1" "$(pid_of "$2" $i)" | sed "s/\$/ $i/"
	done | sort
}

# sessions_meet: 60 sessions of either kind, both of each router at one index
sessions_meet() {
	sessions 1179 pmbgpd >"$tmp/bgp"
	sessions 5556 telemetry_tcp >"$tmp/telemetry"
	[ "$(wc -l <"$tmp/bgp")" -eq 60 ] && cmp -s "$tmp/bgp" "$tmp/telemetry"
}

# sessions_return: the same, and at the index where they were at first
sessions_return() {
	sessions_meet && cmp -s "$tmp/bgp" "$tmp/owners"
}

check_sessions() {
	ok "60 routers have BGP and telemetry sessions, both of each at one index" await 30 sessions_meet
	cp "$tmp/bgp" "$tmp/owners"
	is "all three indexes have some" "$(cut -d' ' -f2 "$tmp/owners" | sort -u | wc -l)" 3
	diag "sessions by index: $(cut -d' ' -f2 "$tmp/owners" | sort | uniq -c | tr -s ' \n' ' ')"
}

# ---- stop, takeover, refusal ----

# stop_and_start SIGNAL: index 1 of each kind
stop_and_start() {
	local kind
	for kind in $kinds; do kill -"$1" "$(pid_of "$kind" 1)"; done
	for kind in $kinds; do
		ok "$kind 1 exits on SIG$1, by itself and with 0" exits_with_0 "$(pid_of "$kind" 1)"
		case $kind in
		pmbgpd | *tcp) like "$kind 1 has left" "$(cat "$tmp/$kind-1.log")" 'reuseport: left: ' ;;
		*) like "$kind 1 has drained" "$(cat "$tmp/$kind-1.log")" 'reuseport: drained: handled [0-9]+ more datagrams' ;;
		esac
		rm "$tmp/$kind-1.pid"
	done
	ok "SIG$1: the sessions of index 1 are with the others, both of each at one index" await 30 sessions_meet
	begin_all 1
}

# take_over: index 2 of each kind
take_over() {
	local kind
	for kind in $kinds; do
		mv "$tmp/$kind-2.log" "$tmp/$kind.old"
		mv "$tmp/$kind-2.pid" "$tmp/$kind.old.pid"
		begin "$kind" 2
	done
	for kind in $kinds; do
		ok "$kind 2, taken over, exits by itself and with 0" exits_with_0 "$(cat "$tmp/$kind.old.pid")"
		like "$kind 2 says why" "$(cat "$tmp/$kind.old")" "index 2 of listener .* was taken over by .* pid $(pid_of "$kind" 2)\."
	done
	ok "the new index 2 reads" await 30 all_read 2
}

# refuse: an instance whose index is in use
refuse() {
	local kind status
	for kind in $kinds; do
		sed '/takeover/d' "$tmp/$kind.conf" >"$tmp/refused.conf"
		status=0
		"$(program_of "$kind")" -f "$tmp/refused.conf" -x 0 >"$tmp/refused" 2>&1 || status=$?
		is "$kind with an index in use: exit status, lines" "$status $(grep -c ERROR "$tmp/refused")" "1 1"
		like "$kind with an index in use says so" "$(cat "$tmp/refused")" \
			"reuseport_hashbucket_index 0 is in use in $bpffs/all by .* pid $(pid_of "$kind" 0) at index 0 of listener"
	done
}

# ---- what arrived ----

# stop_everything: two seconds in which nothing happens, then the senders, then the instances, when their queues are empty
stop_everything() {
	local i kind port
	sleep 2
	stop_traffic
	stop_routers pmbgpd
	stop_routers telemetry_tcp
	for port in 2101 6343 5555; do await 20 queues_empty $port; done
	for i in 0 1 2; do
		for kind in $kinds; do kill -INT "$(pid_of "$kind" $i)"; done
	done
	for i in 0 1 2; do
		for kind in $kinds; do ok "$kind $i exits with 0" exits_with_0 "$(pid_of "$kind" $i)"; done
	done
}

# arrived KIND: lines "exporter period flows index bytes"; a message of telemetry counts as 100 bytes
arrived() {
	local i
	if [ "$1" = telemetry_udp ]; then
		for i in 0 1 2; do
			# as until 1.7.9, and as from then on
			jq -r --arg i $i '(.telemetry_data // .payload) as $data | select($data) |
				"\(.telemetry_node // ."telemetry-message-metadata"."export-address") \($data.period) 1 \($i) 100"' "$tmp/$1-$i.csv"
		done
	else
		received_by_period "$1"
	fi
}

# check_flows KIND: nothing is lost; in the last second, when all instances are there, flows meet the sessions
check_flows() {
	local period
	sent "$tmp/$1".[46].report
	arrived "$1" >"$tmp/arrived"
	not_in_stdin <"$tmp/arrived" >"$tmp/missing"
	explain_losses
	at_least "$1: flows sent by UDP" "$(total_sent)" 1000
	is "$1: of $(total_sent) sent by UDP, lost" "$(total_lost)" 0
	counted_once
	period=$(awk '$2 > max {max = $2} END {print max - 1}' "$tmp/sent")
	awk -v period="$period" '$2 == period {print $1, $4}' "$tmp/arrived" | sort -u | join - "$tmp/owners" >"$tmp/both"
	is "$1: exporters that were, in the last second, where their sessions are" "$(awk '$2 == $3' "$tmp/both" | wc -l)" 60
	diag "$1: $(total_sent) sent by UDP, $(total_lost) lost"
}

# read_on: UDP telemetry reads on after a datagram that its decoder does not take
read_on() {
	local n
	printf '%s\n' "telemetry_daemon_port_udp: 5557" "telemetry_daemon_decoder: cisco_v1" "reuseport_hashbucket_count: 1" \
		"reuseport_bpf_prog: $object" "reuseport_pin_path: $bpffs/cisco" >"$tmp/cisco.conf"
	run_daemon cisco 0 "$tree/src/pmtelemetryd" -f "$tmp/cisco.conf" -x 0
	await 30 has_line "$tmp/cisco-0.log" 'listener telemetry_udp joined' || die "pmtelemetryd with cisco_v1 does not start"
	for n in 1 2 3; do
		perl -MIO::Socket -e 'IO::Socket::INET->new(Proto => "udp", PeerAddr => "127.0.0.1:5557")->send("x" x 20)'
		ok "telemetry_udp: datagram $n, which cannot be decoded, is read" await 10 queues_empty 5557
	done
	ok "it exits with 0" stopped INT "$(pid_of cisco 0)"
}

# check_metrics: of each listener that receives datagrams, 20 of its exporters, or as many as samples came of: one datagram in 512 is one
check_metrics() {
	local listener found
	for listener in nfacctd_templates $(echo "$flows" | sed 's/nfacctd //'); do
		"$reuseportctl" --pin-path "$bpffs/all" --json --listener "$listener" exporters | jq '.exporters | length' >"$tmp/known.$listener"
		at_least "$listener: exporters of which samples came" "$(cat "$tmp/known.$listener")" 3
	done
	"$reuseportctl" --pin-path "$bpffs/all" --prometheus exporters >"$tmp/metrics"
	for listener in nfacctd_templates $(echo "$flows" | sed 's/nfacctd //'); do
		# there may be another one by now
		found=$(grep -c "^reuseport_exporter_datagrams_total{.*listener=\"$listener\"" "$tmp/metrics" || true)
		at_least "$listener: exporters with metrics" "$found" $(($(cat "$tmp/known.$listener") < 20 ? $(cat "$tmp/known.$listener") : 20))
		ok "$listener: not more than 20" [ "$found" -le 20 ]
	done
	is "each metric is explained once" "$(grep -c '^# TYPE' "$tmp/metrics") $(grep '^# TYPE' "$tmp/metrics" | sort -u | wc -l)" "3 3"
}

configure
case " $kinds " in *" telemetry_udp "*) read_on ;; esac
begin_all 0 1 2
check_start
templates_buffer
send_all
check_sessions
stop_and_start INT
stop_and_start TERM
ok "the sessions return to their index" await 60 sessions_return
take_over
ok "after the takeover the sessions are where they were" await 60 sessions_return
refuse
check_metrics
stop_everything
for kind in $flows; do check_flows "$kind"; done
done_testing
