#!/bin/sh
# Least privilege: CAP_BPF alone, as root or as an ordinary user with a pin path of its own; CAP_SYS_ADMIN alone.
. "${0%/*}/lib.sh"
need_daemons
need setpriv
sandbox

# the user 65534 has to get at the daemon, its config and a place to write to
chmod 755 "$tmp"
cp "$nfacctd" "$object" "$tmp/"
mkdir -m 777 "$tmp/out"
mkdir -m 700 "$bpffs/own"
chown 65534 "$bpffs/own"

# runs NAME PORT WORDS...: nfacctd, started by these words, joins and receives
runs() {
	name=$1 port=$2
	shift 2
	config "$name" "$port" 1 "reuseport_hashbucket_index: 0" "reuseport_bpf_prog: $tmp/reuseport.o" \
		"reuseport_pin_path: $bpffs/$name" "print_output_file[p]: $tmp/out/$name-0.csv" "pidfile: $tmp/out/$name.pid"
	chmod 644 "$tmp/$name.conf"
	"$@" "$tmp/nfacctd" -f "$tmp/$name.conf" >"$tmp/$name-0.log" 2>&1 &
	echo $! >"$tmp/$name-0.pid"
	ok "$name: starts" wait_for 20 is_up "$name" 0
	"$tools/exporter" netflow5 4 "$port" exporters=10 ports=1 datagrams=1 >/dev/null
	stop_all "$name"
	is "$name: receives" "$(grep -c ',1,100$' "$tmp/out/$name-0.csv")" 10
}

runs root-bpf 2100 setpriv --bounding-set -all,+bpf
runs root-sys-admin 2101 setpriv --bounding-set -all,+sys_admin
runs own 2102 setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all,+bpf --ambient-caps -all,+bpf

done_testing
