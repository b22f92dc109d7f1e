#!/bin/sh
# docs/troubleshooting.md has every error line of the daemons and of reuseportctl, and none that they do not have any more;
# commands, options, keys and metrics that the documents name exist. And the check notices when that is not so.
. "${0%/*}/lib.sh"
need perl
make_tmp
cd "$root"

ok "docs.pl, on this tree" perl tests/docs.pl .

# A copy of what it reads, to spoil
copy=$tmp/copy
fresh() {
	rm -rf "$copy"
	mkdir "$copy"
	cp -R README.md docs configure.ac.patch patches "$copy"
	mkdir -p "$copy/reuseportctl" "$copy/pmacct/src/reuseport"
	cp reuseportctl/*.c "$copy/reuseportctl"
	cp pmacct/src/reuseport/*.c "$copy/pmacct/src/reuseport"
}

# notices NAME REGEX FILE TEXT: with TEXT at the end of FILE it fails, and says so in one line
notices() {
	fresh
	printf '%s\n' "$4" >>"$copy/$3"
	if out=$(perl tests/docs.pl "$copy" 2>&1); then out="did not fail: $out"; fi
	[ "$(echo "$out" | wc -l)" -eq 1 ] || out="not one line: $out"
	like "$1" "$out" "$2"
}

lacks='^docs/troubleshooting.md lacks: '
group=pmacct/src/reuseport/group.c
notices "a new error line of group.c, over several lines" "$lacks""cannot find bucket %u of %s \(%s\): look for it " $group \
	'static int find(void) { return rp_fail(m, -ENOENT, "cannot find bucket %u of %s (%s): "
		"look for" /* "it" */ " it", bucket, name, strerror(errno)); }'
notices "one whose text is chosen in the call" "$lacks"": is the moon full\?" $group \
	'rp_fail(m, err, "%s%s", why, moon ? ": is the moon full?" : "");'
notices "one that a variable has" "$lacks""buy another computer" $group 'static const char *hint = "buy another computer";'
notices "one of the daemons" "$lacks""WARN \( %s/core \): reuseport: all is well\." pmacct/src/reuseport/templates.c \
	'Log(LOG_WARNING, "WARN ( %s/core ): reuseport: all is well.\n", config.name);'
notices "one of a patch" "$lacks""ERROR \( %s/core \): reuseport: not here\." patches/nfacctd-listener.patch \
	'+    Log(LOG_ERR, "ERROR ( %s/core ): reuseport: not here.\n", config.name);'
notices "a refusal of reuseportctl" "$lacks""%s is too late" reuseportctl/steer.c 'report_error(FAILED, "%s is too late", word);'
notices "a mark of status" "$lacks""%u buckets are blue" reuseportctl/status.c 'warn(g, "%u buckets are blue", n);'

# shellcheck disable=SC2016 # Markdown's code spans
{
	notices "a line that no source has" "has, but no source: cannot load PATH: it is Monday" docs/troubleshooting.md '- `cannot load PATH: it is Monday`'
	notices "a line, and a word more" "has, but no source: no random nonce today" docs/troubleshooting.md '- `no random nonce today (WHY)`'
	notices "a command" "README.md: reuseportctl has no command repair" README.md 'Or `reuseportctl -p /sys/fs/bpf/x repair`.'
	notices "an option" "docs/example.md: reuseportctl has no option --jsn" docs/example.md 'Or `reuseportctl status --jsn`.'
	notices "an option of another command" "docs/example.md: 'pin' does not take --json" docs/example.md 'Or `reuseportctl --json pin 192.0.2.7 2`.'
	notices "a key" "README.md: no such key, nor metric: reuseport_bucket_count" README.md 'Set `reuseport_bucket_count`.'
}

fresh
sed -i 's/! nobody is live/! somebody is live/' "$copy/docs/troubleshooting.md"
like "a mark of status, in a table" "$(perl tests/docs.pl "$copy" || true)" "has, but no source: ! somebody is live in this group"

# An INFO line, and a comment, are no errors
fresh
printf '%s\n' 'Log(LOG_INFO, "INFO: all is well.\n"); /* rp_fail(m, err, "not at all well"); */' >>"$copy/$group"
ok "nothing else is taken for one" quietly perl tests/docs.pl "$copy"
done_testing
