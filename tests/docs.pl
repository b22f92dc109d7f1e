#!/usr/bin/perl
# docs.pl ROOT: whether docs/troubleshooting.md has every error line of daemons and companion, and no other; and whether what
# the documents call by name exists. Prints a line for each thing that is wrong, and fails then; else a line of figures.
#
# An error line is a string literal, of two words or more, in one of the calls below: its format, or what a ?: of it adds; and
# what is kept in a variable, or returned, to become part of one. In the document it is a code span, in full, with a word in
# capitals, or ellipsis, for each run of conversions. One that begins a list item below "## Every error line" is a line too.
use strict;
use warnings;

my $root = shift // die "no root given\n";
my $document = 'docs/troubleshooting.md';
my $calls = qr/\b(?:Log|rp_fail|report_error|warn|key_error|finish|perror)\s*\(/;
my $literal = qr/"(?:[^"\\]|\\.)*"/;
my $varies = qr/ ?(?:[A-Z][A-Z0-9_]*|\x{2026})?/;
my ($wrong, %lines) = (0);
binmode STDOUT, ':encoding(UTF-8)';

sub wrong { print "@_\n"; $wrong++ }

sub text_of {
	my ($path) = @_;
	open(my $in, '<:encoding(UTF-8)', "$root/$path") or die "$path: $!\n";
	local $/;
	return scalar <$in>;
}

sub files { return sort map { s,^\Q$root\E/,,r } map { glob "$root/$_" } @_ }

# Without comments, and with what the preprocessor would put among literals
sub source_of {
	my ($path) = @_;
	my $c = text_of($path);
	$c =~ s{($literal)|/\*.*?\*/|//[^\n]*}{$1 // ' '}gse;
	$c =~ s/\bRP_DEFAULT_PIN_PATH\b/"%s"/g;
	return $c;
}

# What a program text has as one literal: adjacent ones are joined
sub literals {
	my ($c) = @_;
	my @found;
	while ($c =~ /($literal(?:\s*$literal)*)/g) {
		my $joined = $1;
		$joined =~ s/"\s*"//g;
		$joined =~ s/^"|"$//g;
		$joined =~ s/\\n/ /g;
		$joined =~ s/\\(.)/$1/g;
		push @found, folded($joined);
	}
	return @found;
}

sub folded { return $_[0] =~ s/\s+/ /gr =~ s/^ | $//gr }

# From an opening parenthesis on, up to the one that closes it
sub call_at {
	my ($c, $from) = @_;
	pos($c) = $from;
	my $depth = 0;
	while ($c =~ /\G(?:$literal|'(?:[^'\\]|\\.)'|[^()"']+|([()]))/gc) {
		$depth += $1 eq '(' ? 1 : -1 if defined $1;
		return substr($c, $from, pos($c) - $from) if !$depth;
	}
	die "no end of a call\n";
}

sub words { return scalar(() = $_[0] =~ s/%(?:%|[-0-9.*]*[hlz]*[a-zA-Z])/ /gr =~ /[\w-]*[A-Za-z]{2}[\w-]*/g) }

sub take { my ($file, @found) = @_; $lines{$_} //= $file for grep { words($_) >= 2 } @found }

for my $file (files('pmacct/src/reuseport/*.c', 'reuseportctl/reuseportctl.c', 'reuseportctl/status.c', 'reuseportctl/steer.c', 'reuseportctl/pair.c', 'reuseportctl/sockets.c')) {
	my $c = source_of($file);
	while ($c =~ /$calls/g) {
		my $call = call_at($c, $+[0] - 1);
		take($file, literals($call)) if $call !~ /^\(\s*LOG_(?:INFO|DEBUG)\b/;
	}
	take($file, literals($1)) while $c =~ /(?:\bconst char \*\w+ = |\breturn |\bwanted\), )($literal(?:\s*$literal)*)/g;
}
# What patches add, in upstream's files
for my $file (files('configure.ac.patch', 'patches/*.patch', 'patches/*/*.patch')) {
	my $c = join "\n", map { /^\+(?!\+\+ )(.*)/ ? $1 : () } split /\n/, text_of($file);
	while ($c =~ /\bLog\s*\(\s*LOG_(?:ERR|WARNING|CRIT|ALERT|EMERG)\b[^"]*((?:$literal\s*)+)/g) { take($file, literals($1)) }
}

# ---- the document ----

sub spans { return map { folded($_) } $_[0] =~ /`([^`]+)`/g }

sub pattern {
	my $regex = '';
	for my $part (split /((?:%(?:[-0-9.*]*[hlz]*[a-zA-Z]))+)/, $_[0]) {
		$regex .= $part =~ /^%[^%]/ ? $varies : quotemeta($part =~ s/%%/%/gr);
	}
	return qr/^$regex$/;
}

my $text = text_of($document);
my ($second) = $text =~ /\n## Every error line\n(.*)/s;
defined $second or die "$document has no '## Every error line'\n";
my @spans = spans($second);
my @items = map { folded($_) } $second =~ /^- `([^`]+)`/mg;
my %patterns = map { $_ => pattern($_) } keys %lines;
for my $line (sort { $lines{$a} cmp $lines{$b} || $a cmp $b } keys %lines) {
	wrong("$document lacks: $line   ($lines{$line})") if !grep { /$patterns{$line}/ } @spans;
}
for my $item (@items) {
	wrong("$document has, but no source: $item") if !grep { $item =~ $_ } values %patterns;
}
# Marks of status, as the tables quote them: what is fixed in them, some words together. What they count is put in by name.
for my $mark (grep { s/^! // } spans($text =~ s/\n## Every error line\n.*//sr)) {
	for my $part (grep { words($_) >= 2 } split /\s*(?:\x{2026}|\b[A-Z]+\b|\bdatagrams\b|[:;])\s*/, $mark) {
		wrong("$document has, but no source: ! $part") if !grep { /\Q$part\E/ } keys %lines;
	}
}

# ---- what the documents call by name ----

my ($ctl, $keys, $shared) = (text_of('reuseportctl/reuseportctl.c'), text_of('patches/config-keys.patch'), text_of('reuseportctl/status.c'));
my %key = map { $_ => 1 } $keys =~ /^\+.*"(reuseport_\w+)"/mg, $shared =~ /\{?"(reuseport_\w+)"/g;
my (%option, %by_id, %command);
while ($ctl =~ /\{"([a-z-]+)", (no|required|optional)_argument, NULL, (\w+)\}/g) {
	$option{"--$1"} = $2;
	$by_id{$3} = "--$1";
}
@option{'-p', '-l', '-h'} = ('required', 'required', 'no');
while ($ctl =~ /\{"(\w+)", \d+, \w+, \{([A-Z, ]*)\}\}/g) {
	my ($name, $ids) = ($1, $2);
	$command{$name} = {map { $by_id{$_} => 1 } $ids =~ /\w+/g};
	$command{$name}{$_} = 1 for '--pin-path', '-p', '--help', '-h';
	$command{$name}{'-l'} = 1 if $command{$name}{'--listener'};
}

# One call of reuseportctl, its words
sub check_call {
	my ($file, $call) = @_;
	my ($command, @given, $skip);
	for my $word (split ' ', $call) {
		if ($skip) { $skip = 0; next }
		if ($word =~ /^(-[a-z]|--[a-z-]+)(=.*)?$/) {
			my $kind = $option{$1} // return wrong("$file: reuseportctl has no option $1: $call");
			push @given, $1;
			$skip = $kind eq 'required' && !defined $2;
		} elsif (!defined $command && $word =~ /^[a-z]+$/) {
			$command = $word;
			$command{$command} or return wrong("$file: reuseportctl has no command $command: $call");
		}
	}
	return if !defined $command;
	for my $given (@given) { wrong("$file: '$command' does not take $given: $call") if !$command{$command}{$given} }
}

my ($calls_seen, $keys_seen) = (0, 0);
for my $file ('README.md', files('docs/*.md')) {
	my $all = text_of($file);
	while ($all =~ /\b(reuseport_\w+\b)(?!\.[ch]\b|\*)/g) {
		$keys_seen++;
		wrong("$file: no such key, nor metric: $1") if !$key{$1};
	}
	my @code = $all =~ /^```\w*\n(.*?)^```/msg;
	push @code, spans($all =~ s/^```.*?^```//msgr);
	for my $call (map { /\breuseportctl[ \t]+([^\n#|;'">&]+)/g } @code) {
		$calls_seen++;
		check_call($file, $call);
	}
}
printf "%d lines, %d items, %d names of keys and metrics, %d calls\n", scalar(keys %lines), scalar(@items), $keys_seen, $calls_seen
	if !$wrong;
exit($wrong ? 1 : 0);
