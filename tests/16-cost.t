#!/bin/sh
# What a decision costs, over the least that a selector by source address can do, in the same kernel and the same minute: bounds
# that a later change is not to break unnoticed. 'make bench' has the figures.
. "${0%/*}/lib.sh"
need_root
need objdump
[ "${SLOWER:-1}" -eq 1 ] || {
	echo "1..0 # SKIP an emulated machine's times say nothing"
	exit 0
}
sandbox
[ -f "$object" ] || skip_all "not built: run make build"

# ratio ROW FAMILY: by the fewest nanoseconds of all tries
ratio() {
	awk -F'\t' -v row="$1, $2" -v floor="empty program, $2" -v irreducible="irreducible, $2" '
		$3 == "ns" && (!($2 in least) || $5 < least[$2]) {least[$2] = $5}
		END {printf "%.2f", (least[row] - least[floor]) / (least[irreducible] - least[floor])}' "$tmp/samples"
}

bounds='1.4 IPv4 ours, 4 buckets
1.5 IPv4 ours, 128 buckets
1.4 IPv6 ours, 4 buckets
2.0 IPv4 ours, 4 buckets, CAP_BPF alone
2.5 IPv4 ours, 4 buckets, 10,000 overrides
3.0 IPv4 ours, 4 buckets, failover'

# kept: whether all of them are, and $tmp/ratios has lines "ratio bound family row"
kept() {
	echo "$bounds" | while read -r bound family row; do
		echo "$(ratio "$row" "$family") $bound $family $row"
	done >"$tmp/ratios"
	awk '!($1 > 0 && $1 <= $2) {exit 1}' "$tmp/ratios"
}

# Another try, where the first was disturbed
for try in 1 2 3; do
	"$tools/decision" "$object" "$root/bench/decision.o" 1 10 >>"$tmp/samples" || die "$(tail -n 1 "$tmp/samples")"
	! kept || break
	diag "try $try: $(paste -sd';' "$tmp/ratios")"
done
while read -r ratio bound family row; do
	ok "$row, $family: $ratio times the irreducible program, at most $bound" \
		awk "BEGIN {exit !($ratio > 0 && $ratio <= $bound)}"
	diag "$row, $family: $ratio times the irreducible program"
done <"$tmp/ratios"
done_testing
