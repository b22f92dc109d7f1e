#!/bin/sh
# Least privilege: CAP_BPF alone, as root or as an ordinary user with a pin path of its own; CAP_SYS_ADMIN alone; no capability
# at all, where the kernel allows it and the pins are there; RLIMIT_MEMLOCK, where the kernel charges it. And what another
# user can do to the group: nothing.
# shellcheck disable=SC2086 # words: user, user_bpf, stranger
. "${0%/*}/lib/daemons.sh"
need_daemons
need setpriv prlimit perl jq bpftool
sandbox

as="setpriv --clear-groups --inh-caps -all"
user="$as --reuid 65534 --regid 65534 --bounding-set -all"
user_bpf="$as,+bpf --ambient-caps -all,+bpf --reuid 65534 --regid 65534"
stranger="$as,+bpf --ambient-caps -all,+bpf --reuid 65533 --regid 65533"
no_privilege="reuseport: cannot open .*: no privilege for BPF: run as root, or with CAP_BPF"

# kernel_before MAJOR MINOR
kernel_before() {
	uname -r | awk -F '[.-]' -v major="$1" -v minor="$2" '{exit !($1 < major || ($1 == major && $2 < minor))}'
}

# ---- groups of one ----

# let_user_in: the user 65534 has to get at the daemon, its config and a place to write to
let_user_in() {
	chmod 755 "$tmp"
	cp "$nfacctd" "$object" "$reuseportctl" "$tmp/"
	mkdir -m 777 "$tmp/out"
}

# configure NAME PORT [LINE...]: the config of a group of one
configure() {
	local name="$1" port="$2"
	shift 2
	config "$name" "$port" 1 "reuseport_hashbucket_index: 0" "reuseport_bpf_prog: $tmp/reuseport.o" \
		"print_output_file[p]: $tmp/out/$name-0.csv" "pidfile: $tmp/out/$name.pid" "$@"
	chmod 644 "$tmp/$name.conf"
}

# own_group NAME PORT [LINE...]: the same, with a pin path that belongs to the user
own_group() {
	configure "$@"
	mkdir -m 700 "$bpffs/$1"
	chown 65534 "$bpffs/$1"
}

# launch NAME WORDS...: nfacctd, started by these words, in the background
launch() {
	local name="$1"
	shift
	run_daemon "$name" 0 "$@" "$tmp/nfacctd" -f "$tmp/$name.conf"
}

# receives NAME PORT: it joins and receives, and stops
receives() {
	ok "$1: starts" await 20 is_up "$1" 0
	"$tools/exporter" netflow5 4 "$2" exporters=10 ports=1 datagrams=1 >/dev/null
	stop_all "$1"
	is "$1: receives" "$(grep -cE '^10\.0\.0\.([1-9]|10),1,100$' "$tmp/out/$1-0.csv")" 10
	rm "$tmp/out/$1-0.csv"
}

# refused NAME WORDS...: it does not start; why is in $said
refused() {
	local name="$1" status=0
	shift
	said=$(timeout 20 "$@" "$tmp/nfacctd" -f "$tmp/$name.conf" 2>&1) || status=$?
	said="$status $(printf '%s\n' "$said" | grep ERROR || true)"
}

# tool WORDS GROUP ARGUMENT...: reuseportctl, run by these words, on the group's pin path
tool() {
	local words="$1" group="$2"
	shift 2
	$words "$tmp/reuseportctl" -p "$bpffs/$group" "$@"
}

# ---- one capability ----

run_with_one_capability() {
	configure root-bpf 2100
	launch root-bpf setpriv --bounding-set -all,+bpf
	receives root-bpf 2100
	configure root-sys-admin 2101
	launch root-sys-admin setpriv --bounding-set -all,+sys_admin
	receives root-sys-admin 2101
	own_group user-bpf 2102
	launch user-bpf $user_bpf
	receives user-bpf 2102
}

# ---- without any capability ----

# preload_pins NAME GROUP OBJECT: asserts that one who may can pin it for the group
preload_pins() {
	ok "pinned: $1" quietly tool "$user_bpf" "$2" --prog "$3" preload nfacctd
}

be_refused_before_5_19() {
	like "none: refused" "$said" "^1 ERROR: .* $no_privilege"
	own_group pinned 2104
	preload_pins "by one who may" pinned "$tmp/reuseport.o"
	refused pinned $user
	like "pinned: this kernel does not allow it" "$said" "^1 ERROR: .* $no_privilege"
}

# keeps_exporters GROUP EXPORTERS: whether it has templates of so many
keeps_exporters() {
	tool "$user" "$1" exporters | grep -q "; of $2 the group keeps"
}

run_on_preloaded_pins() {
	like "none: refused, and how to help it" "$said" "^1 ERROR: .* no privilege for BPF: .*, or have 'reuseportctl preload' pin it for this listener beforehand"
	own_group pinned 2104
	preload_pins "by one who may" pinned "$tmp/reuseport.o"
	launch pinned $user
	await 20 is_up pinned 0 || diag "$(cat "$tmp/pinned-0.log")"
	is "pinned: the daemon has no capability" "$(awk '/^Cap(Eff|Prm|Amb|Bnd)/ {print $2}' "/proc/$(pid_of pinned 0)/status" | sort -u)" 0000000000000000
	is "pinned: status needs none" "$(tool "$user" pinned --json status | jq '.listeners[0].buckets[0].pid')" "$(pid_of pinned 0)"
	ok "pinned: nor does override add" quietly tool "$user" pinned override add 10.0.0.0/8 0
	"$tools/exporter" netflow9 4 2104 exporters=3 address=101 ports=1 datagrams=1 >/dev/null
	ok "pinned: nor does what exporters tell, to be kept" await 5 keeps_exporters pinned 3
	preload_pins "preload again, while it is live" pinned "$tmp/reuseport.o"
	receives pinned 2104
	launch pinned $user
	receives pinned 2104
}

# refuse_pin_of_another_group: put where the group's own was
refuse_pin_of_another_group() {
	rm "$bpffs/pinned/nfacctd/_selector"
	cp "$object" "$tmp/other.o"
	preload_pins "another group's" user-bpf "$tmp/other.o"
	mkdir "$tmp/out/prog"
	bpftool prog pin pinned "$bpffs/user-bpf/nfacctd/_selector" "$bpffs/pinned/nfacctd/_selector"
	chown 65534 "$bpffs/pinned/nfacctd/_selector"
	refused pinned $user
	like "pinned: it does not pass for this one's" "$said" "^1 ERROR: .*what is pinned at $bpffs/pinned/nfacctd/_selector is not a selector for the maps beside it: run 'reuseportctl preload' again"
}

run_without_capabilities() {
	own_group none 2103
	refused none $user
	if kernel_before 5 19; then
		be_refused_before_5_19
	else
		run_on_preloaded_pins
		refuse_pin_of_another_group
	fi
}

# ---- memory ----

run_with_little_memory() {
	local bytes
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
}

# ---- another user ----

start_victim() {
	local line
	own_group victim 2106 "bmp_daemon: true" "bmp_daemon_port: 1790"
	launch victim $user_bpf
	for line in "listener bmp joined" "listener nfacctd joined"; do
		await 20 has_line "$tmp/victim-0.log" "$line" || diag "$(cat "$tmp/victim-0.log")"
	done
}

# make_binds: $tmp/binds.pl TYPE FAMILY ADDRESS PORT OPTION...: binds a socket with these options; exits with 0 if it got there, with
# 98 if the address was in use
make_binds() {
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
}

stranger_does_not_bind() {
	local what address options status
	make_binds
	for what in "udp 2106" "tcp 1790"; do
		for address in "4 0.0.0.0" "4 127.0.0.1" "6 ::" "6 ::1"; do
			for options in reuseport "reuseport reuseaddr" reuseaddr ""; do
				status=0
				$stranger perl "$tmp/binds.pl" ${what% *} $address "${what#* }" $options || status=$?
				is "another user, ${what% *}, ${address#* }, ${options:-no option}: address in use" "$status" 98
			done
		done
	done
}

stranger_does_not_operate() {
	local command out status
	for command in status "override add 10.0.0.0/8 0" "failover off" "resize 1" reset "override list"; do
		status=0
		out=$(tool "$stranger" victim $command 2>&1) || status=$?
		like "another user: $command" "$status $out" "^1 reuseportctl: .*(Permission denied|Operation not permitted)"
	done
}

# no_access NAME BPFTOOL-ARGUMENT...: asserts that another user is denied it
no_access() {
	local name="$1" out status=0
	shift
	out=$($stranger bpftool map "$@" 2>&1) || status=$?
	like "$name" "$status $out" "Permission denied"
}

stranger_does_not_use_pins() {
	local size="pinned $bpffs/victim/size"
	no_access "another user writes to a pin: no" update $size key 0 0 0 0 value 7 0 0 0
	chmod 711 "$bpffs/victim"
	no_access "nor where the directory lets it in" update $size key 0 0 0 0 value 7 0 0 0
	no_access "nor does it read one" dump $size
	is "nor are any made for it" "$(find "$bpffs/victim" -type f ! -perm 600)" ""
}

# write_metrics: the commands of the metrics unit, as the user who has the group, in a directory of that user
write_metrics() {
	local unit="$root/systemd/reuseport-metrics.service.in" command commands=0
	is "metrics: no command of the unit runs as root, and systemd opens no file for it" \
		"$(grep -cE '^(Exec[A-Za-z]*=[-@:]*[+!]|Standard(Output|Error)=(file|append|truncate))' "$unit")" 0
	is "metrics: the unit's user" "$(sed -n 's/^User=//p' "$unit")" pmacct
	mkdir -m 755 "$tmp/metrics"
	chown 65534:65534 "$tmp/metrics"
	sed -n "s/^Exec\(Start\|StartPost\)=-*//p" "$unit" | sed "s|@sbindir@/reuseportctl|$tmp/reuseportctl -p $bpffs/victim|" >"$tmp/commands"
	while read -r command; do
		ok "metrics: $command" sh -c "cd '$tmp/metrics' && exec $user $command"
		commands=$((commands + 1))
	done <"$tmp/commands"
	is "metrics: commands; buckets that are live; whose file that is" \
		"$commands $(grep -c '^reuseport_bucket_live.* 1$' "$tmp/metrics/reuseport.prom") $(stat -c '%u %a' "$tmp/metrics/reuseport.prom")" "3 2 65534 644"
	ok "metrics: of exporters, too" grep -q '^# TYPE reuseport_exporter_datagrams' "$tmp/metrics/reuseport.prom"
	is "metrics: those that are declared twice" "$(grep '^# TYPE' "$tmp/metrics/reuseport.prom" | sort | uniq -d)" ""
	write_metrics_to_a_full_disk
}

# metrics_command N: the unit's
metrics_command() {
	sh -c "cd '$tmp/metrics' && exec $user $(sed -n "$1p" "$tmp/commands")" 2>"$tmp/error"
}

# As if there were no room for what exporters prints, and then not for what status prints either
write_metrics_to_a_full_disk() {
	ok "metrics: of status" metrics_command 1
	cp "$tmp/metrics/reuseport.prom.new" "$tmp/whole"
	ln -sf /dev/full "$tmp/metrics/exporters.new"
	ok "metrics: those of exporters cannot be written: it goes on" metrics_command 2
	ok "metrics: with nothing of theirs" cmp "$tmp/whole" "$tmp/metrics/reuseport.prom.new"
	ln -sf /dev/full "$tmp/metrics/reuseport.prom.new"
	ok "metrics: those of status cannot be written: the unit fails" not metrics_command 1
	is "metrics: and says so" "$(cat "$tmp/error")" "reuseportctl: cannot write the output (No space left on device)"
}

let_user_in
run_with_one_capability
run_without_capabilities
run_with_little_memory
start_victim
stranger_does_not_bind
stranger_does_not_operate
stranger_does_not_use_pins
write_metrics
receives victim 2106
done_testing
