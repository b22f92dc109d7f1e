#!/usr/bin/perl
# docs.pl ROOT: checks that each warning and error of the daemons, and each mark of status, says what to do, or docs/troubleshooting.md does; and
# that what the documents name exists: such lines, commands, options, keys, metrics, links, files, make targets, functions, figures. Prints a
# line for each thing that is wrong, and fails then; otherwise prints a line of figures.
#
# Such a line is the format, of two words or more, in one of the calls below; parts of lines are what ?: adds to it, and what is kept in a
# variable, or returned. A line says what to do if, behind its first ':', ';' or '.', there is one of the verbs below, or a command in quotes;
# or if it ends in a part that is chosen when it is printed. The document has a line as a list item's code span, in full, with a word in
# capitals for each run of conversions.
use strict;
use warnings;

my $root = shift // die "no root given\n";
my $document = 'docs/troubleshooting.md';
my $calls = qr/\b(?:Log|rp_fail|warn)\s*\(/;
my $verbs = qr/\b(?:belong|change|choose|give|has to|leave|list|mount|must|needed|raise|released|remove|restart|run|see|set|start|stop|use)\b/i;
my $literal = qr/"(?:[^"\\]|\\.)*"/;
my $varies = qr/ ?(?:[A-Z][A-Z0-9_]*|\x{2026})?/;
my ($wrong, %lines, %parts) = (0);
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

# The first of what is found is a line, if its call has that for a format; the others are parts
sub take {
	my ($file, $line, @found) = @_;
	$lines{$line} //= $file if words($line) >= 2;
	$parts{$_} = 1 for @found;
}

for my $file (files('pmacct/src/reuseport/*.c', 'reuseportctl/diagnose.c')) {
	my $c = source_of($file);
	while ($c =~ /$calls/g) {
		my $call = call_at($c, $+[0] - 1);
		my @found = literals($call);
		take($file, @found) if @found && $call !~ /^\(\s*LOG_(?:INFO|DEBUG)\b/;
	}
	take($file, '', literals($1)) while $c =~ /(?:\bconst char \*\w+ = |\breturn |\bwanted\), )($literal(?:\s*$literal)*)/g;
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

sub says_what_to_do {
	my $line = $_[0] =~ s/^(?:%s|WARN|ERROR)(?: \( %s\/\w+ \))?: (?:\[%s\] |reuseport: )*//r =~ s/ Exiting\.$//r =~ s/\.$//r;
	my $behind = $line =~ /[:;.] (.*)/ ? $1 : '';
	return $line =~ /(?:[:)]|\bnot|\bfor) ?%s$|\bno memory\b/ || words($line) < 2 || $behind =~ /$verbs|'[^']+ [^']+'/;
}

my $text = text_of($document);
# Those that begin an item, one after the other
my @items = map { spans($_) } $text =~ /^- (`[^`]+`(?:,\s+`[^`]+`)*)/mg;
my %patterns = map { $_ => pattern($_) } keys %lines;
for my $line (sort { $lines{$a} cmp $lines{$b} || $a cmp $b } keys %lines) {
	next if says_what_to_do($line) || grep { /$patterns{$line}/ } @items;
	wrong("no line says what to do, nor does $document: $line   ($lines{$line})");
}
for my $item (@items) {
	wrong("$document has, but no source: $item") if !grep { $item =~ $_ } values %patterns, map { pattern($_) } keys %parts;
}
# Marks of status, as the tables quote them: what is fixed in them, some words together. What they count is put in by name.
for my $mark (grep { s/^! // } spans($text)) {
	for my $part (grep { words($_) >= 2 } split /\s*(?:\x{2026}|\b[A-Z]+\b|\bdatagrams\b|[:;])\s*/, $mark) {
		wrong("$document has, but no source: ! $part") if !grep { /\Q$part\E/ } keys %lines, keys %parts;
	}
}

# ---- what the documents call by name ----

my $tool = join '', map { text_of($_) } files('reuseportctl/*.c');
my $keys = text_of('patches/config-keys.patch');
my %key = map { $_ => 1 } $keys =~ /^\+.*"(reuseport_\w+)"/mg, $tool =~ /"(reuseport_\w+)"/g;
# The entries of a table of the tool, each as the text between its braces
sub entries { return $tool =~ /^const struct \w+ \Q$_[0]\E\[\] = \{\n(.*?)^\};/ms ? $1 =~ /^\t\{\n(.*?)^\t\},/msg : die "no table $_[0]\n" }
my (%option, %by_id, %command, %first_word);
for my $entry (entries('option_specs')) {
	my ($id, $name) = $entry =~ /\.id = (\w+),\s+\.name = "([a-z-]+)"/ or die "an option without a name: $entry\n";
	$option{"--$name"} = $entry =~ /\.value_is_optional = 1/ ? 'optional' : $entry =~ /\.value = / ? 'required' : 'no';
	$by_id{$id} = "--$name";
}
@option{'-p', '-l', '-h'} = ('required', 'required', 'no');
for my $entry (entries('commands')) {
	my ($name) = $entry =~ /\.name = "([a-z ]+)"/ or die "a command without a name: $entry\n";
	my ($ids) = $entry =~ /\.options = \{([A-Z, ]*)\}/;
	$command{$name} = {map { $by_id{$_} => 1 } ($ids // '') =~ /\w+/g};
	$command{$name}{$_} = 1 for '--pin-path', '-p', '--help', '-h';
	$command{$name}{'-l'} = 1 if $command{$name}{'--listener'};
	$first_word{$1} = 1 if $name =~ /^(\w+) /;
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
		} elsif ($word =~ /^[a-z]+$/ && (!defined $command || $first_word{$command})) {
			$command = defined $command ? "$command $word" : $word;
			$command{$command} || $first_word{$command} or return wrong("$file: reuseportctl has no command $command: $call");
		}
	}
	return if !defined $command || !$command{$command};
	for my $given (@given) { wrong("$file: '$command' does not take $given: $call") if !$command{$command}{$given} }
}

# How GitHub names the anchor of a heading
sub anchor { return lc($_[0]) =~ s/`|[^\w\s-]//gr =~ s/ /-/gr }

# Headings of a document; "#" in a block of code begins none
sub anchors { return map { anchor($_) => 1 } (text_of($_[0]) =~ s/^```.*?^```//msgr) =~ /^#+ (.*)/mg }

sub check_link {
	my ($file, $link) = @_;
	return if $link =~ /^https?:/;
	my ($path, $anchor) = $link =~ /^([^#]*)#?(.*)$/;
	my $to = $path eq '' ? $file : $file =~ m{^docs/} ? "docs/$path" : $path;
	1 while $to =~ s{[^/]+/\.\./}{};
	return wrong("$file: a link to nothing: $link") if !-e "$root/$to";
	return if $anchor eq '';
	my %has = anchors($to);
	wrong("$file: a link to no heading of $to: $link") if !$has{$anchor};
}

my $makefile = text_of('Makefile');
my %target = map { $_ => 1 } map { split ' ' } $makefile =~ /^([a-z][a-z -]*):(?!=)/mg, $makefile =~ /^\.PHONY: (.*)/mg;
my %built = map { $_ => 1 } qw(bpf/reuseport.o bpf/reuseport-debug.o reuseportctl/reuseportctl);
my $sources = join '', map { text_of($_) } files('pmacct/src/reuseport/*.[ch]', 'bpf/*.[ch]', 'patches/*.patch');

# A file of this project, as a piece of code names it; also by a pattern, or what is made of a .in file
sub check_path {
	my ($file, $path) = @_;
	my @found = files($path);
	wrong("$file: no such file: $path") if !$built{$path} && !grep({ -e "$root/$_" } @found) && !-e "$root/$path.in";
}

my ($calls_seen, $keys_seen, $links_seen, $paths_seen) = (0, 0, 0, 0);
for my $file ('README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', files('docs/*.md')) {
	my $all = text_of($file);
	my $prose = $all =~ s/^```.*?^```//msgr;
	for my $link ($prose =~ /\]\(([^)\s]+)\)/g) {
		$links_seen++;
		check_link($file, $link);
	}
	# a changelog has what is no more
	next if $file eq 'CHANGELOG.md';
	while ($all =~ /\b(reuseport_\w+\b)(?!\.[ch]\b|\*|\()/g) {
		$keys_seen++;
		wrong("$file: no such key, nor metric: $1") if !$key{$1} && !($file eq 'docs/architecture.md' && $sources =~ /\b$1\b/);
	}
	my @code = $all =~ /^```\w*\n(.*?)^```/msg;
	push @code, spans($prose);
	for my $call (map { /\breuseportctl[ \t]+(?=[a-z-])([^\n#|;'">&]+)/g } @code) {
		$calls_seen++;
		check_call($file, $call);
	}
	for my $path (map { m{(?<![\w/.\$~-])((?:bpf|bpftrace|bench|examples|patches|pmacct|reuseportctl|scripts|systemd|tests)/[\w*?.\[\]/@-]*[\w*\]/])}g } @code) {
		$paths_seen++;
		check_path($file, $path);
	}
	for my $target (map { /(?<!cannot )\bmake ((?:[a-z-]+(?:, | |$))+)/mg } @code) {
		for (split /[, ]+/, $target) { wrong("$file: make has no target $_") if !/^-/ && !$target{$_} }
	}
	if ($file eq 'docs/architecture.md') {
		for my $function (map { /(\w+)\(\)/g } @code) { wrong("$file: no such function: $function()") if $sources !~ /\b\Q$function\E\(/ }
	}
}
# What the README's table of costs says is from the benchmark's tables
my ($cost) = text_of('README.md') =~ /\n## Cost\n(.*?)\n## /s or die "README.md has no '## Cost'\n";
my ($benchmark, $figures_seen) = (text_of('docs/benchmark.md'), 0);
for my $figure (map { /\| ([\d,.]+)(?= \|)/g } grep { /^\|/ } split /\n/, $cost) {
	$figures_seen++;
	wrong("README.md: docs/benchmark.md has no figure $figure") if $benchmark !~ /(?<![\d,.])\Q$figure\E(?![\d,.])/;
}
wrong("README.md has no figures of cost") if !$figures_seen;
printf "%d lines, %d items, %d names of keys and metrics, %d calls, %d links, %d files, %d figures\n", scalar(keys %lines), scalar(@items),
	$keys_seen, $calls_seen, $links_seen, $paths_seen, $figures_seen
	if !$wrong;
exit($wrong ? 1 : 0);
