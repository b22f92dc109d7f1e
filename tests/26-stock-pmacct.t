#!/bin/sh
# pmacct as released, unpatched, loads our object by its own nfacctd_rp_ebpf_prog, and then places every exporter where our
# daemons place it, once 'reuseportctl resize' has set the size; before, nothing is lost either. A patched one that is built
# with --enable-ebpf has both features, and does with each what the binary that has it alone does.
. "${0%/*}/lib/daemons.sh"
need_daemons
need jq
stock=$root/build/stock-${RELEASE:-$base}/src/nfacctd
both=$root/build/ebpf-${RELEASE:-$base}/src/nfacctd
if [ ! -d "$pristine/src/ebpf" ]; then
	echo "1..0 # SKIP this release of pmacct has no nfacctd_rp_ebpf_prog"
	exit 0
fi
[ -x "$stock" ] && [ -x "$both" ] || skip_all "not built: see the Makefile's 'check'"
sandbox

# instances NAME KEY: makes of config NAME one for each of 3 instances, its index in KEY
instances() {
	local i
	for i in 0 1 2; do sed "\$a $2: $i" "$tmp/$1.conf" >"$tmp/$1-$i.conf"; done
}

# runs BINARY NAME: its 3 instances, one after the other, since upstream's code takes no lock
runs() {
	local i
	for i in 0 1 2; do
		run_daemon "$2" "$i" "$1" -f "$tmp/$2-$i.conf" -o "$tmp/$2-$i.csv"
		await 20 reads "$2" "$i" || die "index $i of $2 does not start: $(cat "$tmp/$2-$i.log")"
	done
}

# send_and_check NAME WORDS INSTANCES: 200 exporters send to a group of so many, which then stops; $tmp/NAME.places has lines
# "exporter index"
send_and_check() {
	local sent
	sent=$("$tools/exporter" netflow5 4 2100 exporters=100 ports=3 datagrams=4 rate=4000)
	sent=$((sent + $("$tools/exporter" netflow5 6 2100 exporters=100 ports=3 datagrams=4 rate=4000)))
	is "$2: datagrams sent" "$sent" 2400
	stop_all "$1"
	received "$1" >"$tmp/received"
	rm "$tmp/$1"-*.csv
	cut -d' ' -f1,2 "$tmp/received" >"$tmp/$1.places"
	is "$2: 200 exporters, each at one of the instances" "$(count_places)" "200 exporters, 200 places, $3 instances"
	is "$2: of $sent datagrams sent, lost" $((sent - $(total_received))) 0
	diag "$2: exporters by instance: $(cut -d' ' -f2 "$tmp/$1.places" | sort | uniq -c | awk '{printf "%s:%s ", $2, $1}')"
}

# our_keys: the nonce is what upstream's code has for a seed
our_keys() {
	local i
	config ours 2100 3 "reuseport_nonce: 12345"
	instances ours reuseport_hashbucket_index
	runs "$both" ours
	for i in 0 1 2; do
		# a moment after it has said that it reads
		await 20 is_up ours "$i" || true
		like "our keys, --enable-ebpf: index $i joins" "$(cat "$tmp/ours-$i.log")" "joined $bpffs/ours as index $i of 3 .*nonce 12345"
	done
	send_and_check ours "our keys, --enable-ebpf" 3
}

# configure NAME: upstream's keys instead of ours
configure() {
	config "$1" 2100 3
	sed -i '/^reuseport/d' "$tmp/$1.conf"
	printf '%s\n' "nfacctd_rp_ebpf_prog: $object" "cluster_name: $1" >>"$tmp/$1.conf"
	instances "$1" cluster_id
}

# upstreams_key NAME BINARY: its own key, without and with a size
upstreams_key() {
	local pins="$bpffs/pmacct/$1/nfacctd"
	configure "$1"
	runs "$2" "$1"
	send_and_check "$1" "$1, upstream's key, no size" 3

	runs "$2" "$1"
	set_size "$1" "$pins"
	send_and_check "$1" "$1, upstream's key, size 3" 3
	ok "$1: each exporter is where our daemons have it" diff "$tmp/ours.places" "$tmp/$1.places"

	runs "$2" "$1"
	ok "$1: index 1 stops" stopped INT "$(pid_of "$1" 1)"
	rm "$tmp/$1-1.pid"
	send_and_check "$1" "$1, upstream's key, without index 1" 2
	is "$1: no other exporter moves" "$(diff "$tmp/ours.places" "$tmp/$1.places" | sed -n 's/^< .* //p' | sort -u)" 1
	ok "$1: not a word of our keys" not grep -q 'reuseport:' "$tmp/$1"-?.log
}

# set_size NAME PINS: the tool looks at what upstream's code has pinned, and sets the size
set_size() {
	local name="$1" pins="$2"
	like "$name: the directory above" "$("$reuseportctl" --pin-path "${pins%/*}" resize 3 2>&1)" \
		"no map 'size' is pinned in ${pins%/*}, where instances are live \(.* of listener nfacctd\): give the directory that has it"
	like "$name: status says that it is not set" "$("$reuseportctl" --pin-path "$pins" status || true)" "^! the number of buckets is not set, so that all 128 count"
	is "$name: the size is set" "$("$reuseportctl" --pin-path "$pins" resize 3 2>&1)" "$pins: 3 buckets, 0 before"
	like "$name: a bucket in use is not cut off" "$("$reuseportctl" --pin-path "$pins" resize 2 2>&1)" \
		"cannot shrink the group $pins to 2 buckets: .* at index 2 of listener $pins; stop that instance first"
	like "$name: status counts it then" "$("$reuseportctl" --pin-path "$pins" --json status | jq -c '[.listeners[] | .name, (.buckets | length)], .warnings')" \
		'^\["nfacctd",3\]'
}

both_keys() {
	local said status=0
	{ cat "$tmp/ours-0.conf" && echo "nfacctd_rp_ebpf_prog: $object"; } >"$tmp/two.conf"
	said=$(timeout 20 "$both" -f "$tmp/two.conf" 2>&1) || status=$?
	like "both set: refused with $status" "$status $(printf '%s\n' "$said" | grep ERROR)" "^1 .*nfacctd_rp_ebpf_prog and reuseport_bpf_prog are both set"
}

our_keys
upstreams_key stock "$stock"
upstreams_key patched "$both"
both_keys
done_testing
