#!/bin/sh
# Each error line of the daemons, and each mark of status, says what to do, or docs/troubleshooting.md does, which quotes no line that they no
# longer have. Commands, options, keys, metrics, links, files, make targets and functions that the documents name exist. The README
# stays short. And the check notices whatever is not so.
. "${0%/*}/lib/tap.sh"
need perl
make_tmp
cd "$root"

ok "docs.pl, on this tree" perl tests/tools/docs.pl .

ok "the README has at most 150 lines" [ "$(wc -l <README.md)" -le 150 ]
is "documents of more than 400 lines" "$(wc -l docs/*.md | awk '$1 > 400 && $2 != "total" { print $2 }')" ""

alerts=$(sed -n 's/^ *- alert: //p' examples/prometheus-alerts.yml)
# shellcheck disable=SC2016 # a code span of Markdown
is "the alerts that docs/operations.md explains" "$(sed -n '/^## Alerts/,/^## [^A]/s/^| `\(Reuseport[A-Za-z]*\)` |.*/\1/p' docs/operations.md)" "$alerts"

# A copy of what it reads, to spoil; what is only looked for is linked
copy=$tmp/copy
fresh() {
	rm -rf "$copy"
	mkdir "$copy"
	cp -R README.md CHANGELOG.md CONTRIBUTING.md docs configure.ac.patch patches reuseportctl pmacct "$copy"
	for there in COPYING Makefile bench bpf bpftrace examples scripts systemd tests; do ln -s "$root/$there" "$copy"; done
}

# notices NAME REGEX FILE TEXT: with TEXT at the end of FILE it fails, and says so in one line
notices() {
	fresh
	printf '%s\n' "$4" >>"$copy/$3"
	if out=$(perl tests/tools/docs.pl "$copy" 2>&1); then out="did not fail: $out"; fi
	[ "$(echo "$out" | wc -l)" -eq 1 ] || out="not one line: $out"
	like "$1" "$out" "$2"
}

lacks='^no line says what to do, nor does docs/troubleshooting.md: '
group=pmacct/src/reuseport/group.c
notices "a new error line of group.c, over several lines" "$lacks""cannot find bucket %u of %s \(%s\): it is \(%s\) " $group \
	'static int find(void) { return rp_fail(m, -ENOENT, "cannot find bucket %u of %s (%s): "
		"it is" /* "not" */ " (%s)", bucket, name, strerror(errno), where); }'
notices "one of the daemons" "$lacks""WARN \( %s/core \): reuseport: all is lost\." pmacct/src/reuseport/exporter_state.c \
	'Log(LOG_WARNING, "WARN ( %s/core ): reuseport: all is lost.\n", config.name);'
notices "one of a patch" "$lacks""ERROR \( %s/core \): reuseport: not here\." patches/nfacctd-listener.patch \
	'+    Log(LOG_ERR, "ERROR ( %s/core ): reuseport: not here.\n", config.name);'
notices "a mark of status" "$lacks""%u buckets are blue" reuseportctl/diagnose.c 'warn(s, "%u buckets are blue", n);'

# is_fine NAME FILE TEXT: with TEXT at the end of FILE it says nothing
is_fine() {
	fresh
	printf '%s\n' "$3" >>"$copy/$2"
	ok "$1" quietly perl tests/tools/docs.pl "$copy"
}

is_fine "a line that says what to do" $group 'rp_fail(m, err, "cannot find bucket %u (%s): start its instance", n, strerror(errno));'
is_fine "one that ends in a part that is chosen" $group 'rp_fail(m, err, "cannot find bucket %u (%s): %s", n, strerror(errno), hint);'
is_fine "neither an INFO line nor a comment is an error line" $group \
	'Log(LOG_INFO, "INFO: all is well.\n"); /* rp_fail(m, err, "not at all well"); */'

# shellcheck disable=SC2016 # Markdown's code spans
{
	notices "a file, in CONTRIBUTING.md" "CONTRIBUTING.md: no such file: scripts/ci/dance" CONTRIBUTING.md 'Or `scripts/ci/dance`.'
	notices "a line that no source has" "has, but no source: cannot load PATH: it is Monday" docs/troubleshooting.md '- `cannot load PATH: it is Monday`'
	notices "a line, and a word more" "has, but no source: no random nonce today" docs/troubleshooting.md '- `no random nonce today (WHY): set reuseport_nonce`'
	notices "a command" "README.md: reuseportctl has no command repair" README.md 'Or `reuseportctl -p /sys/fs/bpf/x repair`.'
	notices "an option" "docs/deployment.md: reuseportctl has no option --jsn" docs/deployment.md 'Or `reuseportctl status --jsn`.'
	notices "an option of another command" "docs/deployment.md: 'override add' does not take --json" docs/deployment.md 'Or `reuseportctl --json override add 192.0.2.7 2`.'
	notices "a command of two words" "README.md: reuseportctl has no command override remove" README.md 'Or `reuseportctl override remove 192.0.2.7`.'
	notices "a key" "README.md: no such key, nor metric: reuseport_bucket_count" README.md 'Set `reuseport_bucket_count`.'
	notices "a link to a file" "README.md: a link to nothing: docs/nothing.md" README.md 'See [there](docs/nothing.md).'
	notices "a link to a heading" "docs/install.md: a link to no heading of docs/tracing.md: tracing.md#nothing" docs/install.md \
		'See [there](tracing.md#nothing).'
	notices "a link to a heading of the same file" "README.md: a link to no heading of README.md: #nothing" README.md 'See [there](#nothing).'
	notices "a file" "docs/install.md: no such file: scripts/uninstall" docs/install.md 'Or `scripts/uninstall --all`.'
	notices "a target of make" "docs/install.md: make has no target everything" docs/install.md 'Or `make everything`.'
	notices "a function" "docs/architecture.md: no such function: rp_dance\(\)" docs/architecture.md 'Then `rp_dance()` is called.'
}

fresh
sed -i '/^## Cost/,/^## /s/| 7.73 |/| 7.74 |/' "$copy/README.md"
like "a figure of the README" "$(perl tests/tools/docs.pl "$copy" || true)" "README.md: docs/benchmark.md has no figure 7.74"

fresh
sed -i 's/! no instance is live/! every instance is live/' "$copy/docs/troubleshooting.md"
like "a mark of status, in a table" "$(perl tests/tools/docs.pl "$copy" || true)" "has, but no source: ! every instance is live in this group"
done_testing
