# A fault of the decoder: a mock, tests/tools/bad_apple.c, preloaded into the daemons. It bites when what arrives begins with a certain word.
# shellcheck shell=sh disable=SC2034,SC2154
: "${root:=$(cd "${0%/*}/.." && pwd)}"
. "$root/tests/lib/daemons.sh"

# preload: nfacctd has it from now on
preload() {
	printf '#!/bin/sh\nexec env LD_PRELOAD=%s %s "$@"\n' "$tools/bad_apple.so" "$nfacctd" >"$tmp/daemon"
	chmod +x "$tmp/daemon"
	nfacctd=$tmp/daemon
}

# say WORD ADDRESS [PORT]: a datagram of the exporter with that address, to the group's port
say() {
	perl -MIO::Socket::INET -e 'IO::Socket::INET->new(Proto => "udp", LocalAddr => $ARGV[1], PeerAddr => "127.0.0.1:$ARGV[2]")->send("$ARGV[0]    ")' \
		"$1" "$2" "${3:-2100}"
}

# connect_and_say WORD ADDRESS PORT: what a router's session begins with; waits until it ends
connect_and_say() {
	perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Proto => "tcp", LocalAddr => $ARGV[1], PeerAddr => "127.0.0.1:$ARGV[2]") or exit 1;
		$s->syswrite("$ARGV[0]    "); $s->sysread(my $end, 1)' "$1" "$2" "$3"
}

# dead NAME: how many instances of the group have ended
dead() {
	local pidfile n=0
	for pidfile in "$tmp/$1"-?.pid; do
		if gone "$(cat "$pidfile")"; then n=$((n + 1)); fi
	done
	echo $n
}

# are_dead N NAME
are_dead() {
	[ "$(dead "$2")" -eq "$1" ]
}
