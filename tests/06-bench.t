#!/bin/sh
# What scripts/bench makes of samples: medians, the least and the most, ratios of runs of the same round, a plot; and what it
# refuses. The sections themselves are not run here, but for the one that needs no daemon.
. "${0%/*}/lib/daemons.sh"
need perl gnuplot jq
need_daemons
make_tmp
cd "$root"

# samples LINE...: TABLE;ROW;METRIC;ROUND;VALUE
samples() {
	mkdir -p "$tmp/out"
	printf '%s\n' "$@" | tr ';' '\t' >"$tmp/out/datagrams.tsv"
}

report() {
	scripts/bench --report --out "$tmp/out" 2>&1 || true
}

samples "datagrams;2 instances, selector;daemons, 20000/s;1;3" "datagrams;2 instances, selector;daemons, 20000/s;2;4" \
	"datagrams;2 instances, selector;daemons, 20000/s;3;11" "datagrams;one instance;daemons, 20000/s;1;2" \
	"datagrams;2 instances, kernel's hash;daemons, 20000/s;1;2" "datagrams;2 instances, kernel's hash;daemons, 20000/s;2;4" \
	"datagrams;2 instances, kernel's hash;daemons, 20000/s;3;10" "datagrams;tee before 2 instances;daemons, 20000/s;1;1234567" \
	"datagrams;tee before 2 instances;with exporters, 20000/s;1;7654321"
said=$(report)
like "a cell is the median, the least and the most" "$said" '^2 instances, selector  +4 \(3\.\.11\) +-$'
like "one sample is itself; thousands have commas" "$said" '^tee before 2 instances  +1,234,567 +7,654,321$'
like "a ratio is of the same round" "$said" "^daemons, 20000/s: 2 instances, selector / 2 instances, kernel's hash: 1\.1 \(1\.\.1\.5\); meant to be at most 0\.6"
is "the same as JSON" "$(jq -c '.tables.datagrams["2 instances, selector"]["daemons, 20000/s"]' "$tmp/out/bench.json")" \
	'{"least":3,"median":4,"most":11,"samples":3}'
like "and which machine that was" "$(jq -r .machine.kernel "$tmp/out/bench.json")" "^Linux $(uname -r)"
like "a plot, with the figures" "$(cat "$tmp/out/bench.svg")" '1,234,567'

rm -r "$tmp/out"
samples "x;one;ms;1;5" "y;one;ms;1"
like "a line that is no sample is named" "$(report)" "datagrams.tsv, line 2: not a sample: y"
rm -r "$tmp/out"
like "without samples" "$(report)" "^bench: there are no samples in $tmp/out: measure first"
like "a section that is none" "$(scripts/bench nonsense 2>&1 || true)" "^bench: unknown section nonsense; see "
like "no rounds" "$(scripts/bench --rounds 0 2>&1 || true)" "^bench: --rounds takes a number from 1, not '0'"

status=0
scripts/bench --rounds 1 --out "$tmp/out" balance >"$tmp/balance" 2>"$tmp/progress" || status=$?
is "balance runs" "$status" 0
like "and says what it is at" "$(cat "$tmp/progress")" "^bench: [0-9]:[0-5][0-9]  balance: the fullest bucket"
is "with 28 groups in three tables, 7 in two" "$(grep -c '^[0-9]* exporters, [0-9]* buckets ' "$tmp/balance")" 98
# 100,000 exporters say how it is, 50 are chance
is "growth to 128 buckets moves 1 in 128, no more than can be" \
	"$(jq '.tables.growth["100000 exporters, 128 buckets"].ours.median * 10 | round' "$tmp/out/bench.json")" 8
done_testing
