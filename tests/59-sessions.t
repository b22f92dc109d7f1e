#!/bin/sh
# A router whose BGP or telemetry session crashes whoever reads it is in quarantine, and no other one that has a session there: whether it is read
# by a thread of nfacctd, or by pmbgpd or pmtelemetryd. The decoder's fault is a mock: tests/tools/bad_apple.c. 59-bad-apple.t has BMP.
. "${0%/*}/lib/bad_apple.sh"
need_daemons
need jq perl ss
sandbox

# keys LISTENER: those of a config that has it
keys() {
	case $1 in
	bgp) printf '%s\n' "bgp_daemon_port: 1179" "bgp_daemon_max_peers: 10" ;;
	telemetry_tcp) printf '%s\n' "telemetry_daemon_port_tcp: 1620" "telemetry_daemon_decoder: $decoder" "telemetry_daemon_max_peers: 10" ;;
	esac
}

# begin DAEMON LISTENER...: two instances of that daemon, with these listeners
begin() {
	local i
	daemon=$1
	shift
	config "$daemon" 2100 2
	if [ "$daemon" = nfacctd ]; then
		printf '%s\n' "bgp_daemon: true" "telemetry_daemon: true" >>"$tmp/$daemon.conf"
	else
		sed -i -n '/^reuseport/p' "$tmp/$daemon.conf"
	fi
	for listener in "$@"; do keys "$listener" >>"$tmp/$daemon.conf"; done
	for i in 0 1; do begin_one $i; done
	for i in 0 1; do await 20 reads_sessions $i "$@" || die "index $i of $daemon does not start"; done
}

begin_one() {
	run_daemon "$daemon" "$1" env LD_PRELOAD="$tools/bad_apple.so" "$tree/src/$daemon" -f "$tmp/$daemon.conf" -x "$1"
}

# reads_sessions INDEX LISTENER...: whether it has joined with each of them
reads_sessions() {
	local log="$tmp/$daemon-$1.log" listener
	shift
	for listener in "$@"; do
		has_line "$log" "listener $listener joined" || return 1
	done
}

# ctl WORD...: reuseportctl on the group
ctl() {
	"$reuseportctl" --pin-path "$bpffs/$daemon" "$@"
}

# belongs ADDRESS INDEX
belongs() {
	[ "$(ctl where --json "$1" | jq '.[0].bucket')" -eq "$2" ]
}

# crash LISTENER PORT PREFIX: two routers of one instance have sessions; one of these crashes it
crash() {
	local guilty="$3.1" innocent index=0 n=2
	belongs "$guilty" 0 || index=1
	until belongs "$3.$n" $index; do n=$((n + 1)); done
	innocent=$3.$n
	connect_and_say "    " "$innocent" "$2" &
	ok "$daemon, $1: a router has a session" await 10 has_session "$innocent" "$2" $index
	connect_and_say CRSH "$guilty" "$2" || true
	ok "another one's message crashes the instance" await 20 are_dead 1 "$daemon"
	ok "the other instance has logged whose it was" await 10 has_line "$tmp/$daemon-$((1 - index)).log" \
		"WARN .*: index $index, pid [0-9]*, ended by signal 11 .* and had data of $guilty in hand"
	is "routers in quarantine" "$(ctl status --json | jq -r '.quarantine[] | select(.active).exporter')" "$guilty"
	ok "which refuses its sessions" not connect_and_say CRSH "$guilty" "$2"
	sleep 1
	is "instances that have ended" "$(dead "$daemon")" 1
	quietly ctl override delete "$guilty"
	begin_one $index
	await 20 reads_sessions $index "$1" || die "index $index of $daemon does not start"
}

# stop_within_messages: what routers begin, and do not send to its end, does not keep the others waiting for ever
stop_within_messages() {
	local n sessions=''
	for n in 1 2 3; do
		connect_and_say "HEAD" "10.9.5.$n" 1620 &
		sessions="$sessions $!"
	done
	for n in $sessions; do ok "pmtelemetryd: a session that stops within a message is closed" await 40 gone "$n"; done
}

# interrupt_message: a signal in the middle of one, as when a process that writes a dump ends: the session is read on. The thread of nfacctd
# gets it, if the main one waits in a system call.
interrupt_message() {
	local index=0 session signal
	belongs 10.9.6.1 0 || index=1
	# type JSON, flags, length, and two bytes; what comes after that is the next message
	perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Proto => "tcp", LocalAddr => "10.9.6.1", PeerAddr => "127.0.0.1:1620") or exit 1;
		my $message = pack("N3", 2, 0, 2) . "{}";
		$s->syswrite(substr $message, 0, 5); sleep 1; $s->syswrite(substr $message, 5); sleep 60' &
	session=$!
	ok "nfacctd, cisco_v0: a router has a session" await 10 has_session 10.9.6.1 1620 $index
	sleep 0.5
	for signal in CHLD USR2 HUP; do kill -s $signal "$(pid_of nfacctd $index)"; done
	sleep 1.5
	ok "and has it after signals in the middle of a message" has_session 10.9.6.1 1620 $index
	kill "$session"
}

# has_session ADDRESS PORT INDEX
has_session() {
	peers "$2" "$(pid_of "$daemon" "$3")" | grep -qxF "$1"
}

decoder=json
begin nfacctd bgp telemetry_tcp
crash bgp 1179 10.9.1
crash telemetry_tcp 1620 10.9.2
for i in 0 1; do ok "nfacctd, index $i, exits with 0" stopped INT "$(pid_of nfacctd $i)"; done
decoder=cisco_v0
begin nfacctd telemetry_tcp
interrupt_message
for i in 0 1; do ok "nfacctd, index $i, exits with 0" stopped INT "$(pid_of nfacctd $i)"; done
decoder=json
begin pmbgpd bgp
crash bgp 1179 10.9.3
for i in 0 1; do ok "pmbgpd, index $i, exits with 0" stopped INT "$(pid_of pmbgpd $i)"; done
begin pmtelemetryd telemetry_tcp
crash telemetry_tcp 1620 10.9.4
for i in 0 1; do ok "pmtelemetryd, index $i, exits with 0" stopped INT "$(pid_of pmtelemetryd $i)"; done
decoder=cisco_v0
begin pmtelemetryd telemetry_tcp
stop_within_messages
for i in 0 1; do ok "pmtelemetryd, index $i, exits with 0" stopped INT "$(pid_of pmtelemetryd $i)"; done
done_testing
