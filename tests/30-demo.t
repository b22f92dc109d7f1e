#!/bin/sh
# The demo as a test: real exporters (softflowd, nfprobe) and routers (FRR), an instance killed and started again.
# The demo itself fails if a promise is broken.
. "${0%/*}/lib/daemons.sh"
need_daemons
need softflowd jq tcpdump ip
[ -x /usr/lib/frr/bgpd ] || skip_all "no /usr/lib/frr/bgpd"
make_tmp

# run_demo: takes a minute or two
run_demo() {
	local status=0
	timeout 900 "$root/scripts/demo" --svg "$tmp/demo.svg" >"$tmp/shown" 2>&1 || status=$?
	# without the colours
	sed "s/$(printf '\033')\[[0-9]*m//g" "$tmp/shown" >"$tmp/out"
	is "the demo succeeds" "$status" 0
	[ "$status" -eq 0 ] || diag "$(cat "$tmp/out")"
}

check_output() {
	like "its last line says what it has shown" "$(tail -n 1 "$tmp/out")" \
		"^demo: 24 exporters, [1-9][0-9]+ flows: each at one instance, flows and BMP together; failover and return as promised$"
	is "no table is wider than a terminal" "$(grep -E '^  (exporter|192\.|2001:|instance)' "$tmp/out" | awk 'length > 80')" ""
}

# check_picture: the lines of the SVG are those of the demo
check_picture() {
	perl -ne 'if (m{^<text.*?>(.*)</text>$}) { $_ = $1; s/<[^<>]*>//g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/&/g; print "$_\n" }' "$tmp/demo.svg" >"$tmp/drawn"
	at_least "lines of the picture" "$(wc -l <"$tmp/drawn")" 60
	is "lines of the picture that the demo has not printed" "$(grep -vxF -f "$tmp/out" "$tmp/drawn" | grep -vx '  \.\.\.')" ""
	is "the last one" "$(tail -n 1 "$tmp/drawn")" "$(tail -n 1 "$tmp/out")"
}

before=$(list_left)
run_demo
check_output
check_picture
is "nothing is left of it" "$(list_left)" "$before"
diag "$(grep -E '^ +(exporter|192|2001|instance)' "$tmp/out" | head -n 28)"
done_testing
