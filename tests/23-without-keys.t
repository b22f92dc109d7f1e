#!/bin/sh
# Without the keys a patched daemon is upstream's but for its mistakes: the same socket options, no BPF, nothing pinned. With them the
# UDP socket has no SO_REUSEADDR, so that no other socket can get in front of the group.
. "${0%/*}/lib/daemons.sh"
need_daemons
need strace perl setpriv
sandbox

# traced NAME: starts a lone nfacctd under strace, until it reads; $tmp/NAME-0.trace has its setsockopt(), listen() and bpf()
traced() {
	strace -f -qq -e trace=setsockopt,bpf,listen -o "$tmp/$1-0.trace" \
		"$nfacctd" -f "$tmp/$1.conf" -o "$tmp/$1-0.csv" >"$tmp/$1-0.log" 2>&1 &
	tracer=$!
	await 20 has_line "$tmp/$1-0.log" 'waiting for NetFlow/IPFIX data'
}

# untrace: ends it and its plugin; strace goes with them
untrace() {
	# shellcheck disable=SC2046 # pids; there are no others in the sandbox
	kill -KILL $(pgrep nfacctd)
	{ wait "$tracer" || true; } 2>/dev/null
}

# stranger PORT: another user's socket with all options that help it in; succeeds if it could bind
stranger() {
	# shellcheck disable=SC2016 # perl's variables
	setpriv --reuid 65534 --clear-groups perl -MSocket -e '
		socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
		setsockopt($s, SOL_SOCKET, $_, 1) or die "setsockopt: $!" for SO_REUSEADDR, SO_REUSEPORT;
		exit !bind($s, sockaddr_in($ARGV[0], INADDR_ANY));' "$1"
}

# reuse_address_as_upstream: asserts it; $gets_in is 'not' where another socket does not get in by it
reuse_address_as_upstream() {
	# 1.7.6 means to set it, but takes SO_REUSEADDR|SO_REUSEPORT, which is SO_REUSEPORT, for both
	if grep -qs 'SO_REUSEADDR|SO_REUSEPORT' "$tree/src/nfacctd.c"; then
		ok "SO_REUSEADDR as upstream: 1.7.6 does not set it" not grep -q 'SO_REUSEADDR, \[1\]' "$tmp/plain-0.trace"
		gets_in=not
	else
		like "SO_REUSEADDR as upstream" "$(cat "$tmp/plain-0.trace")" 'SO_REUSEADDR, \[1\], 4\) = 0'
		gets_in=
	fi
}

without_keys() {
	local gets_in
	config plain 2100 1 "bmp_daemon: true" "bmp_daemon_port: 1790"
	sed -i '/^reuseport/d' "$tmp/plain.conf"
	traced plain
	like "without keys: SO_REUSEPORT as upstream" "$(cat "$tmp/plain-0.trace")" 'SO_REUSEPORT, \[1\], 4\) = 0'
	reuse_address_as_upstream
	ok "routers that connect all at once can wait" await 10 has_line "$tmp/plain-0.trace" 'listen\([0-9]+, 4096\) += 0'
	ok "no bpf() call" not grep -q 'bpf(' "$tmp/plain-0.trace"
	ok "no word of reuseport in the log" not grep -qi reuseport "$tmp/plain-0.log"
	ok "nothing pinned" [ "$(find "$bpffs" -mindepth 1 ! -name '*.debug')" = "" ]
	# shellcheck disable=SC2086 # or nothing
	ok "another user's socket gets in, or not, as with upstream" $gets_in stranger 2100
	untrace
}

with_keys() {
	config shared 2102 1 "reuseport_hashbucket_index: 0"
	traced shared
	like "with keys: SO_REUSEADDR is taken back before bind()" "$(cat "$tmp/shared-0.trace")" 'SO_REUSEADDR, \[0\], 4\) = 0'
	ok "another user's socket does not get in" not stranger 2102
	untrace
}

option_x() {
	local daemon
	config both 2104 4 "reuseport_hashbucket_index: 1"
	start both 3
	await 20 is_up both 3
	like "-x goes before the index in the config" "$(cat "$tmp/both-3.log")" "listener nfacctd joined $bpffs/both as index 3 of 4"
	for daemon in "$nfacctd" "$pmbmpd"; do
		like "${daemon##*/} -h tells of -x" "$("$daemon" -h)" '^  -x .*reuseport_hashbucket_index'
	done
}

without_keys
with_keys
option_x
done_testing
