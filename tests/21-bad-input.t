#!/bin/sh
# Bad input: one line that says what is wrong, exit status 1, and the instances that run do not notice.
. "${0%/*}/lib/daemons.sh"
need_daemons
need clang bpftool setpriv perl ss
sandbox
# small enough for fragments
ip link set lo mtu 1500

# The bucket of the group that no instance has
free="reuseport_hashbucket_index: 2"

# ---- the group ----

# begin_group: two of three instances run, a pmbmpd beside them, and 50 exporters send throughout
begin_group() {
	config live 2100 3 "nfacctd_ip: 127.0.0.1" "pidfile: $tmp/live.pidfile" "reuseport_nonce: 42"
	start live 1
	start live 0
	await 20 is_up live 0
	await 20 is_up live 1
	owner=$(cat "$tmp/live.pidfile")
	config bmp 2100 3 "bmp_daemon_ip: 127.0.0.1\nbmp_daemon_port: 1790"
	sed -i '/^nfacctd\|^plugins\|\[p\]/d' "$tmp/bmp.conf"
	run_daemon bmp 2 "$pmbmpd" -f "$tmp/bmp.conf" -x 2 -F "$tmp/bmp.pidfile"
	await 20 has_line "$tmp/bmp-2.log" 'listener bmp joined'
	"$tools/exporter" netflow5 4 2100 exporters=50 ports=2 datagrams=1000000 rate=500 >"$tmp/sent" &
	exporter=$! began=$(date +%s%N)
	"$tools/exporter" bmp 4 1790 exporters=3 ports=1 >"$tmp/sessions" &
	await 10 test -s "$tmp/sessions"
}

# check_group: what the instances that run received all the while
check_group() {
	local due sent
	kill -TERM "$exporter"
	due=$((500 * $(ms_since "$began") / 1000 / ${SLOWER:-1}))
	exits_with_0 "$exporter"
	sent=$(cat "$tmp/sent")
	at_least "datagrams sent meanwhile: nine tenths of the $due that rate and time give" "$sent" $((due * 9 / 10))
	stop_all live
	received live >"$tmp/received"
	is "50 exporters, all the while at two instances" "$(count_places)" "50 exporters, 50 places, 2 instances"
	is "of $sent datagrams sent meanwhile, lost" $((sent - $(total_received))) 0
}

# ---- one bad start ----

# refuses NAME REGEX COMMAND...: exits with 1, and its one ERROR line matches
refuses() {
	local case="$1" regex="$2" status=0 errors
	shift 2
	timeout 20 "$@" >"$tmp/out" 2>&1 || status=$?
	errors=$(grep ERROR "$tmp/out" || cat "$tmp/out")
	is "$case: exit status, lines" "$status $(printf '%s\n' "$errors" | wc -l)" "1 1"
	like "$case: says so" "$errors" "$regex"
}

# refuses_elsewhere NAME REGEX COMMAND...: the same in a network namespace of its own
refuses_elsewhere() {
	local case="$1" regex="$2"
	shift 2
	# shellcheck disable=SC2016 # the inner shell's
	refuses "$case" "$regex" unshare --net sh -c 'ip link set lo up && exec "$@"' sh "$@"
}

# bad NAME REGEX LINE...: nfacctd as instance 2 of the group, but for these lines of its config
bad() {
	local case="$1" wanted="$2"
	shift 2
	config bad 2100 3 "nfacctd_ip: 127.0.0.1\nreuseport_pin_path: $bpffs/live" "$@"
	refuses "$case" "$wanted" "$nfacctd" -f "$tmp/bad.conf" -o "$tmp/bad.csv"
}

# without KEY: the same with a key missing
without() {
	config bad 2100 3 "nfacctd_ip: 127.0.0.1\nreuseport_hashbucket_index: 2"
	sed -i "/^$1/d" "$tmp/bad.conf"
	refuses "no $1" "\[$tmp/bad.conf\] missing: $1\. .* belong together" "$nfacctd" -f "$tmp/bad.conf"
}

# ---- what is refused ----

refuse_values() {
	local value
	bad "index = count" "reuseport_hashbucket_index 3 is not below reuseport_hashbucket_count 3: use 0 to 2" \
		"reuseport_hashbucket_index: 3"
	for value in -1 abc 1x '' 128 1.0; do
		bad "index '$value'" "reuseport_hashbucket_index: '$value' is not a whole number from 0 to 127" \
			"reuseport_hashbucket_index: $value"
		config bad 2100 3
		refuses "-x '$value'" "reuseport_hashbucket_index: '$value' is not a whole number from 0 to 127" \
			"$nfacctd" -f "$tmp/bad.conf" -x "$value"
	done
	for value in 0 129 abc 3x '' -3 99999999999999999999; do
		bad "count '$value'" "reuseport_hashbucket_count: '$value' is not a whole number from 1 to 128" \
			"$free" "reuseport_hashbucket_count: $value"
	done
	for value in 0 4294967296 x; do
		bad "nonce '$value'" "reuseport_nonce: '$value' is not a whole number from 1 to 4294967295" \
			"$free" "reuseport_nonce: $value"
	done
	bad "failover 'yes'" "reuseport_failover: 'yes' is not true or false" "$free" "reuseport_failover: yes"
	bad "auto and takeover" "reuseport_hashbucket_index auto takes a free index, and reuseport_takeover one that is in use: give the index" \
		"reuseport_hashbucket_index: auto" "reuseport_takeover: true"
	bad "takeover ''" "reuseport_takeover: '' is not true or false" "$free" "reuseport_takeover:"
}

# refuse_combinations: keys that are missing, or that do not go together
refuse_combinations() {
	without reuseport_hashbucket_count
	without reuseport_hashbucket_index
	without reuseport_bpf_prog
	bad "upstream's own selector too" "nfacctd_rp_ebpf_prog and reuseport_bpf_prog are both set" \
		"$free" "nfacctd_rp_ebpf_prog: $object"
	bad "upstream's own selector for BMP" "bmp_daemon_rp_ebpf_prog and reuseport_bpf_prog are both set" \
		"$free" "bmp_daemon_rp_ebpf_prog: $object"
	bad "nothing to share: a savefile" "pcap_savefile is set: there is no port to share" "$free" "pcap_savefile: /tmp/x.pcap"
	bad "multicast" "a multicast datagram reaches every instance" "$free" "nfacctd_mcast_groups: 239.1.1.1"
	printf '%s\n' "telemetry_daemon_udp_notif_port: 10000" "reuseport_hashbucket_count: 3" "$free" "reuseport_bpf_prog: $object" >"$tmp/bad.conf"
	refuses "nothing to share: UDP-Notif" "telemetry comes from Kafka, ZeroMQ, UDP-Notif or gRPC: there is no port to share" \
		"$tree/src/pmtelemetryd" -f "$tmp/bad.conf"
	config bad 2100 3 "$free"
	refuses "a daemon that has no shared port" "only nfacctd, sfacctd, pmbgpd, pmbmpd and pmtelemetryd can share their ports" \
		"$tree/src/pmacctd" -f "$tmp/bad.conf" -i lo
}

refuse_objects() {
	bad "object missing" "cannot read reuseport_bpf_prog /nowhere/reuseport.o \(No such file or directory\)" \
		"$free" "reuseport_bpf_prog: /nowhere/reuseport.o"
	bad "object is a directory" "reuseport_bpf_prog $tmp is a directory" "$free" "reuseport_bpf_prog: $tmp"
	bad "object is not ELF" "reuseport_bpf_prog $tmp/bad.conf is not an ELF file" "$free" "reuseport_bpf_prog: $tmp/bad.conf"
	bad "object is a program of the host" "reuseport_bpf_prog|not a BPF object" "$free" "reuseport_bpf_prog: /bin/true"
	bad "object is empty" "reuseport_bpf_prog: '' is not the path" "$free" "reuseport_bpf_prog:"
	bad "no _selector" "noselector.o has no program '_selector'" \
		"$free" "reuseport_bpf_prog: $(variant noselector 's/_selector(/_other(/')"
	bad "no map for the listener" "noudp.o has no map 'udp_balancing_targets' for the sockets of listener nfacctd" \
		"$free" "reuseport_bpf_prog: $(variant noudp 's/udp_balancing_targets/udp_targets/g')"
	bad "no size" "nosize.o has no map 'size': it cannot honour reuseport_hashbucket_count" \
		"$free" "reuseport_bpf_prog: $(variant nosize 's/(size)/(volume)/; s/&size,/\&volume,/')"
	bad "a map of another type" "map 'size' of .*hash.o has another type or size" \
		"$free" "reuseport_bpf_prog: $(variant hash 's/BPF_MAP_TYPE_ARRAY);  /BPF_MAP_TYPE_HASH);  /')"
	bad "a map of another size" "map 'udp_balancing_targets' of .*small.o has another type or size" \
		"$free" "reuseport_bpf_prog: $(variant small '/BPF_MAP_TYPE_REUSEPORT_SOCKARRAY/,/max_entries/s/RP_MAX_BUCKETS/64/')"
	bad "an object of another version" "newer.o has ABI number [0-9]+, and this program [0-9]+: use the reuseport.o that was installed with it" \
		"$free" "reuseport_bpf_prog: $(variant newer 's/RP_ABI)/RP_ABI + 1)/')"
	bad "refused by the verifier" "the kernel refuses .*loop.o" \
		"$free" "reuseport_bpf_prog: $(variant loop 's/count(ctx, key, outcome, flags);/for (;;) count(ctx, key, outcome, flags);/')"
}

refuse_pin_paths() {
	bad "no bpffs there" "reuseport_pin_path $tmp/pins is not on a bpffs: mount one" "$free" "reuseport_pin_path: $tmp/pins"
	bad "not absolute" "reuseport_pin_path 'pmacct' is not a directory's absolute path" "$free" "reuseport_pin_path: pmacct"
	bad "a dot in its name" "cannot make directory $bpffs/a.b: .*no name with a dot" "$free" "reuseport_pin_path: $bpffs/a.b"
	bad "its parent missing" "cannot make reuseport_pin_path $bpffs/a/b: the directory above it cannot be read \(No such file" "$free" "reuseport_pin_path: $bpffs/a/b"
	mkdir "$bpffs/taken"
	bpftool map create "$bpffs/taken/size" type hash key 4 value 4 entries 1 name another
	bad "another program's map" "something else than map 'size' is pinned at $bpffs/taken/size" \
		"$free" "reuseport_pin_path: $bpffs/taken"
}

# refuse_privileges: uid 0 without capabilities, or with CAP_BPF alone: file modes count again
refuse_privileges() {
	mkdir "$bpffs/others" "$bpffs/mine"
	chown 65534:65534 "$bpffs/others"
	config bad 2103 3 "$free" "reuseport_pin_path: $bpffs/others"
	refuses "another user's pin path" "$bpffs/others belongs to user id 65534, who could change what is in it: use a reuseport_pin_path that belongs" \
		setpriv --bounding-set -all,+bpf "$nfacctd" -f "$tmp/bad.conf" -o "$tmp/bad.csv"
	config bad 2103 3 "$free" "reuseport_pin_path: $bpffs/mine"
	refuses "no privilege" "no privilege for BPF: run as root, or with CAP_BPF" \
		setpriv --bounding-set -all "$nfacctd" -f "$tmp/bad.conf" -o "$tmp/bad.csv"
}

# refuse_other_settings: than those of the live instances
refuse_other_settings() {
	bad "another count" "reuseport_hashbucket_count is 4 here, but 3 in the running group $bpffs/live \(nfacctd pid [0-9]+ at index [01]" \
		"$free" "reuseport_hashbucket_count: 4"
	bad "another nonce" "reuseport_nonce is 43 here, but 42 in the running group" "$free" "reuseport_nonce: 43"
	bad "another failover" "reuseport_failover is false here, but true in the running group" "$free" "reuseport_failover: false"
	bad "index in use" "reuseport_hashbucket_index 1 is in use in $bpffs/live by nfacctd pid $(pid_of live 1) at index 1" \
		"reuseport_hashbucket_index: 1" "pidfile: $tmp/live.pidfile"
	bad "the same with daemonize: the exit status tells too" "reuseport_hashbucket_index 1 is in use" \
		"reuseport_hashbucket_index: 1" "daemonize: true" "logfile: $tmp/bad.log"
}

# has_devices: whether this release has *_interface; 1.7.6 and 1.7.7 have not
has_devices() {
	grep -qaw nfacctd_interface "$nfacctd"
}

# refuse_other_addresses: than those where the live instances listen
refuse_other_addresses() {
	bad "another pin path for the same port" "the address of listener nfacctd is in use by sockets that are not in the group $bpffs/typo" \
		"$free" "reuseport_pin_path: $bpffs/typo"
	bad "another port with the same pin path" "listener nfacctd is to be at 127.0.0.1 port 2199 here, but is live at 127.0.0.1 port 2100 in the group $bpffs/live \(nfacctd pid [0-9]+ at index [01]" \
		"$free" "nfacctd_port: 2199"
	bad "another address with the same pin path" "listener nfacctd is to be at 127.0.0.2 port 2100 here, but is live at 127.0.0.1 port 2100" \
		"$free" "nfacctd_ip: 127.0.0.2"
	if has_devices; then
		bad "another device" "listener nfacctd is to be bound to device lo \(1\) here, but is bound to no device in the group $bpffs/live \(nfacctd pid" \
			"$free" "nfacctd_interface: lo"
		bad "a device that does not exist" "listener nfacctd cannot be bound to device nowhere \(No such device\): \*_interface has to" \
			"$free" "nfacctd_interface: nowhere"
	fi
	# A whole group of its own at that address: its sockets must not get into this one's array
	config other 2200 1 "nfacctd_ip: 127.0.0.1"
	start_and_wait other 0
	bad "the address of another group" "listener nfacctd is to be at 127.0.0.1 port 2200 here, but is live at 127.0.0.1 port 2100 in the group $bpffs/live" \
		"$free" "nfacctd_port: 2200"
	config bad 2100 3 "nfacctd_ip: 127.0.0.1\nreuseport_pin_path: $bpffs/live" "$free"
	refuses_elsewhere "another network namespace" "the group $bpffs/live is live in another network namespace \(nfacctd pid [0-9]+ at index [01] of listener nfacctd\): use another reuseport_pin_path" \
		"$nfacctd" -f "$tmp/bad.conf"
	sed "/^reuseport_pin_path/s,:.*,: $bpffs/live," "$tmp/bmp.conf" >"$tmp/bad.conf"
	refuses_elsewhere "the same with another listener" "the group $bpffs/live is live in another network namespace" \
		"$pmbmpd" -f "$tmp/bad.conf" -x 2
	bad "an address that no interface has" "listener nfacctd cannot be at 2001:db8::1 port 2100 \(Cannot assign requested address\): no interface has that address" \
		"$free" "nfacctd_ip: 2001:db8::1" "reuseport_pin_path: $bpffs/nowhere"
	is "the pidfile is still that of the instance that runs" "$(cat "$tmp/live.pidfile")" "$owner"
}

refuse_pmbmpd() {
	local holder
	holder=$(pid_of bmp 2)
	refuses "pmbmpd, index in use" "reuseport_hashbucket_index 2 is in use in $bpffs/bmp by pmbmpd pid $holder at index 2 of listener bmp" \
		"$pmbmpd" -f "$tmp/bmp.conf" -x 2 -F "$tmp/bmp.pidfile"
	is "its pidfile too" "$(cat "$tmp/bmp.pidfile")" "$holder"
	sed -i "/^reuseport_bpf_prog/s,:.*,: $(variant notcp 's/tcp_balancing_targets/tcp_targets/g')," "$tmp/bmp.conf"
	refuses "pmbmpd, no map for the listener" "notcp.o has no map 'tcp_balancing_targets' for the sockets of listener bmp" \
		"$pmbmpd" -f "$tmp/bmp.conf" -x 1
	sed "/^reuseport_bpf_prog/s,:.*,: $object,; \$s/\$/\nbmp_daemon_interface: nowhere/" "$tmp/bmp.conf" >"$tmp/bad.conf"
	! has_devices || refuses "pmbmpd, a device that does not exist" "listener bmp cannot be bound to device nowhere \(No such device\)" \
		"$pmbmpd" -f "$tmp/bad.conf" -x 1
	is "the BMP sessions of the one that runs are still up" "$(ss -Htn state established sport = :1790 | wc -l)" 3
	config both 2109 3 "$free" "reuseport_pin_path: $bpffs/bmp" "bmp_daemon: true\nbmp_daemon_ip: 127.0.0.1\nbmp_daemon_port: 1790"
	refuses "nfacctd whose BMP index is in use by pmbmpd" "is in use in $bpffs/bmp by pmbmpd pid $holder at index 2 of listener bmp" \
		"$nfacctd" -f "$tmp/both.conf"
}

# ---- datagrams and frames that are none ----

# send_frames: on lo: an unknown ethertype, IPv4 headers that lie about their length, a UDP header that is cut off
send_frames() {
	# shellcheck disable=SC2016 # perl's variables
	perl -e '
		socket(my $s, 17, 3, 0) or die "socket: $!";
		my $udp = pack("nnnn", 4000, 2100, 8, 0);
		for my $frame (
			[0x88b5, "x" x 60], [0x0000, "x" x 60], [0x86dd, "\x60" . "\0" x 39 . $udp], [0x0800, "\x4f" . "\0" x 40],
			[0x0800, pack("CCnnnCCna4a4", 0x45, 0, 24, 1, 0, 64, 17, 0, "\x0a\0\0\1", "\x7f\0\0\1") . "\0" x 4],
			[0x0800, pack("CCnnnCCna4a4", 0x45, 0, 28, 1, 0x2000, 64, 17, 0, "\x0a\0\0\1", "\x7f\0\0\1") . $udp]) {
			my ($type, $data) = @$frame;
			send($s, "\0" x 12 . pack("n", $type) . $data, 0, pack("SnlSCCa8", 17, $type, 1, 0, 0, 6, "")) or die "send: $!";
		}'
}

survive_junk() {
	is "empty, truncated, fragmented, oversized datagrams sent" \
		"$("$tools/exporter" netflow5 4 2100 exporters=50 ports=1 datagrams=8 rate=1000 junk=true)" 400
	ok "frames with an unknown ethertype, with broken headers" send_frames
	ok "both instances and pmbmpd run on" kill -0 "$(pid_of live 0)" "$(pid_of live 1)" "$(pid_of bmp 2)"
}

begin_group
refuse_values
refuse_combinations
refuse_objects
refuse_pin_paths
refuse_privileges
refuse_other_settings
refuse_other_addresses
refuse_pmbmpd
survive_junk
check_group
done_testing
