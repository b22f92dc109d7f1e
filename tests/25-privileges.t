#!/bin/sh
# Least privilege: CAP_BPF alone, as root or as an ordinary user with a pin path of its own; CAP_SYS_ADMIN alone; no capability
# at all, where the kernel allows it and the pins are there; RLIMIT_MEMLOCK, where the kernel charges it. And what another
# user can do to the group: nothing.
# shellcheck disable=SC2086 # words: user, user_bpf, stranger
. "${0%/*}/lib/daemons.sh"
need_daemons
need setpriv prlimit perl
sandbox

# kernel_before MAJOR MINOR
kernel_before() {
	uname -r | awk -F '[.-]' -v major="$1" -v minor="$2" '{exit !($1 < major || ($1 == major && $2 < minor))}'
}

# the user 65534 has to get at the daemon, its config and a place to write to
chmod 755 "$tmp"
cp "$nfacctd" "$object" "$reuseportctl" "$tmp/"
mkdir -m 777 "$tmp/out"

as="setpriv --clear-groups --inh-caps -all"
user="$as --reuid 65534 --regid 65534 --bounding-set -all"
user_bpf="$as,+bpf --ambient-caps -all,+bpf --reuid 65534 --regid 65534"
stranger="$as,+bpf --ambient-caps -all,+bpf --reuid 65533 --regid 65533"

# own_group NAME PORT [LINE...]: the config of a group of one, with a pin path that belongs to the user
own_group() {
	name=$1 port=$2
	shift 2
	config "$name" "$port" 1 "reuseport_hashbucket_index: 0" "reuseport_bpf_prog: $tmp/reuseport.o" \
		"print_output_file[p]: $tmp/out/$name-0.csv" "pidfile: $tmp/out/$name.pid" "$@"
	chmod 644 "$tmp/$name.conf"
	mkdir -m 700 "$bpffs/$name"
	chown 65534 "$bpffs/$name"
}

# launch NAME WORDS...: nfacctd, started by these words, in the background
launch() {
	name=$1
	shift
	"$@" "$tmp/nfacctd" -f "$tmp/$name.conf" >"$tmp/$name-0.log" 2>&1 &
	echo $! >"$tmp/$name-0.pid"
}

# receives NAME PORT: it joins and receives, and stops
receives() {
	ok "$1: starts" await 20 is_up "$1" 0
	"$tools/exporter" netflow5 4 "$2" exporters=10 ports=1 datagrams=1 >/dev/null
	stop_all "$1"
	is "$1: receives" "$(grep -c ',1,100$' "$tmp/out/$1-0.csv")" 10
	rm "$tmp/out/$1-0.csv"
}

# refused NAME WORDS...: it does not start; why is in $said
refused() {
	name=$1
	shift
	said=$(timeout 20 "$@" "$tmp/nfacctd" -f "$tmp/$name.conf" 2>&1) && status=0 || status=$?
	said="$status $(printf '%s\n' "$said" | grep ERROR || true)"
}

own_group root-bpf 2100
rmdir "$bpffs/root-bpf"
launch root-bpf setpriv --bounding-set -all,+bpf
receives root-bpf 2100
own_group root-sys-admin 2101
rmdir "$bpffs/root-sys-admin"
launch root-sys-admin setpriv --bounding-set -all,+sys_admin
receives root-sys-admin 2101
own_group user-bpf 2102
launch user-bpf $user_bpf
receives user-bpf 2102

# ---- without any capability ----

own_group none 2103
refused none $user
if kernel_before 5 19; then
	like "none: refused" "$said" "^1 ERROR: .* reuseport: cannot open .*: no privilege for BPF: run as root, or with CAP_BPF"
	own_group pinned 2104
	ok "pinned: by one who may" quietly $user_bpf "$tmp/reuseportctl" -p "$bpffs/pinned" --prog "$tmp/reuseport.o" preload nfacctd
	refused pinned $user
	like "pinned: this kernel does not allow it" "$said" "^1 ERROR: .* reuseport: cannot open .*: no privilege for BPF: run as root, or with CAP_BPF"
else
	like "none: refused, and how to help it" "$said" "^1 ERROR: .* no privilege for BPF: .*, or have 'reuseportctl preload' pin it for this listener beforehand"
	own_group pinned 2104
	ok "pinned: by one who may" quietly $user_bpf "$tmp/reuseportctl" -p "$bpffs/pinned" --prog "$tmp/reuseport.o" preload nfacctd
	launch pinned $user
	await 20 is_up pinned 0 || diag "$(cat "$tmp/pinned-0.log")"
	is "pinned: the daemon has no capability" "$(awk '/^Cap(Eff|Prm|Amb|Bnd)/ {print $2}' "/proc/$(pid_of pinned 0)/status" | sort -u)" 0000000000000000
	is "pinned: status needs none" "$($user "$tmp/reuseportctl" -p "$bpffs/pinned" --json status | jq '.listeners[0].buckets[0].pid')" "$(pid_of pinned 0)"
	ok "pinned: nor does override add" quietly $user "$tmp/reuseportctl" -p "$bpffs/pinned" override add 10.0.0.0/8 0
	ok "pinned: preload again, while it is live" quietly $user_bpf "$tmp/reuseportctl" -p "$bpffs/pinned" --prog "$tmp/reuseport.o" preload nfacctd
	receives pinned 2104
	launch pinned $user
	receives pinned 2104
	rm "$bpffs/pinned/nfacctd/_selector"
	cp "$object" "$tmp/other.o"
	ok "pinned: another group's" quietly $user_bpf "$tmp/reuseportctl" -p "$bpffs/user-bpf" --prog "$tmp/other.o" preload nfacctd
	mkdir "$tmp/out/prog"
	bpftool prog pin pinned "$bpffs/user-bpf/nfacctd/_selector" "$bpffs/pinned/nfacctd/_selector"
	chown 65534 "$bpffs/pinned/nfacctd/_selector"
	refused pinned $user
	like "pinned: it does not pass for this one's" "$said" "^1 ERROR: .*what is pinned at $bpffs/pinned/nfacctd/_selector is not a selector for the maps beside it: run 'reuseportctl preload' again"
fi

# ---- memory ----

own_group memory 2105
if kernel_before 5 11; then
	refused memory prlimit --memlock=65536:65536 $user_bpf
	like "memory: the kernel charges it; how much it takes" "$said" "^1 ERROR: .*RLIMIT_MEMLOCK, which is 65536 bytes: set it to [0-9]+ \(LimitMEMLOCK="
	bytes=$(printf '%s\n' "$said" | sed 's/.*set it to \([0-9]*\).*/\1/')
	diag "RLIMIT_MEMLOCK: $bytes bytes asked for"
	launch memory prlimit --memlock="$bytes:$bytes" $user_bpf
	receives memory 2105
	launch memory prlimit --memlock="65536:$bytes" $user_bpf
	receives memory 2105
else
	launch memory prlimit --memlock=0:0 $user_bpf
	receives memory 2105
fi

# ---- another user ----

own_group victim 2106 "bmp_daemon: true" "bmp_daemon_port: 1790"
launch victim $user_bpf
for line in "listener bmp joined" "listener nfacctd joined"; do
	await 20 grep -q "$line" "$tmp/victim-0.log" || diag "$(cat "$tmp/victim-0.log")"
done

# binds TYPE FAMILY ADDRESS PORT OPTION...: with these socket options; 0 if it got there
cat >"$tmp/binds.pl" <<'END'
use Socket qw(:all);
my ($type, $family, $address, $port, @options) = @ARGV;
my $v6 = $family == 6;
socket(my $s, $v6 ? AF_INET6 : AF_INET, $type eq 'tcp' ? SOCK_STREAM : SOCK_DGRAM, 0) or die "socket: $!";
setsockopt($s, SOL_SOCKET, $_ eq 'reuseport' ? 15 : SO_REUSEADDR, 1) or die "setsockopt: $!" for @options;
my $ip = inet_pton($v6 ? AF_INET6 : AF_INET, $address);
my $bound = bind($s, $v6 ? pack_sockaddr_in6($port, $ip) : pack_sockaddr_in($port, $ip)) && ($type ne 'tcp' || listen($s, 5));
exit($bound ? 0 : $!{EADDRINUSE} ? 98 : 1);
END
for what in "udp 2106" "tcp 1790"; do
	for address in "4 0.0.0.0" "4 127.0.0.1" "6 ::" "6 ::1"; do
		for options in reuseport "reuseport reuseaddr" reuseaddr ""; do
			$stranger perl "$tmp/binds.pl" ${what% *} $address "${what#* }" $options && status=0 || status=$?
			is "another user, ${what% *}, ${address#* }, ${options:-no option}: address in use" "$status" 98
		done
	done
done
for command in status "override add 10.0.0.0/8 0" "failover off" "resize 1" reset "override list"; do
	out=$($stranger "$tmp/reuseportctl" -p "$bpffs/victim" $command 2>&1) && status=0 || status=$?
	like "another user: $command" "$status $out" "^1 reuseportctl: .*(Permission denied|Operation not permitted)"
done
out=$($stranger bpftool map update pinned "$bpffs/victim/size" key 0 0 0 0 value 7 0 0 0 2>&1) && status=0 || status=$?
like "another user writes to a pin: no" "$status $out" "Permission denied"
chmod 711 "$bpffs/victim"
out=$($stranger bpftool map update pinned "$bpffs/victim/size" key 0 0 0 0 value 7 0 0 0 2>&1) && status=0 || status=$?
like "nor where the directory lets it in" "$status $out" "Permission denied"
out=$($stranger bpftool map dump pinned "$bpffs/victim/size" 2>&1) && status=0 || status=$?
like "nor does it read one" "$status $out" "Permission denied"
is "nor are any made for it" "$(find "$bpffs/victim" -type f ! -perm 600)" ""
receives victim 2106

done_testing
