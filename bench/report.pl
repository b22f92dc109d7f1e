# usage: report.pl DIR FILE...
#
# Makes tables of the samples in the files. Prints them, and a short table for the README; writes them to DIR/bench.json, and a plot
# to DIR/bench.svg.
#
# A sample is a line of TABLE, ROW, METRIC, ROUND and VALUE, with tabs between. A cell shows the median over the rounds, the least and
# the most.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use POSIX ();
use lib $FindBin::Bin;
use plot;

# How a table is shown. title, note: the text above and below it. turned: metrics are rows. ratios: two rows and the aim for their
# ratio, which is shown for each of the metrics, from samples of the same round.
my %about = (
	decision => {
		title => 'One decision: ns by bpf_stats',
		note => 'over irreducible: the time above the empty program, relative to that of the irreducible program.',
	},
	program => {title => 'The programs'},
	datagrams => {
		title => 'A datagram, end to end: CPU seconds for a million, and datagrams a second',
		ratios => [
			['selector', "kernel's hash", 'at most 0.6 at 20,000/s, 0.4 at 100,000/s'],
			['selector', 'tee', 'less than 0.5'],
		],
		metrics => qr/^daemons/,
		note => "at the exporters' own limit, 1: the exporters could not send faster, so the rate is theirs; compare the CPU time instead.",
	},
	core => {
		title => 'One instance, 150,000 datagrams that wait in its socket: CPU time of the core for each, ns',
		ratios => [['ours', 'unpatched', 'at most 0.35']],
		metrics => qr/./,
	},
	limit => {
		title => 'One instance: the highest rate without loss',
		ratios => [['ours', 'unpatched', 'at least 2']],
		metrics => qr/second$/,
	},
	latency => {title => 'One instance: us until 99 of 100 datagrams are handed to the plugin or its ring; meant to be at most 2,000'},
	calls => {title => 'One instance: system calls of the core for a datagram; meant to be less than 0.2'},
	templates => {title => 'Flow records decoded, of exporters that change their source port, %'},
	disturbance => {title => 'Datagrams lost'},
	balance => {title => 'Exporters in the fullest bucket, divided by the mean'},
	growth => {title => 'Exporters that move when the last of the buckets is added, %'},
	loss => {title => 'Exporters that move when one bucket is empty, %'},
	weights => {
		title => 'Exporters in a bucket, divided by the mean of the others: before and after it gets half the weight',
		note => 'optimum: the exporters that have to move, so that the bucket has its share.',
	},
	rebalance => {
		title => 'Load of the fullest bucket, divided by the mean; the first exporter sends N times as much as the N-th',
		note => 'At most 10 moves, as by default. No bucket can be less full than the heaviest exporter alone makes it.',
	},
	size => {title => 'Groups of N instances'},
	sessions => {title => 'BMP sessions over four instances, one of which stops: ms until all are up again'},
	hosts => {
		title => 'Three hosts with two instances each; one host is lost and comes back: of 200 exporters',
		turned => 1,
	},
);

my $dir = shift;
my (%value, %seen, @tables);
while (<>) {
	chomp;
	my ($table, $row, $metric, $round, $value) = split /\t/;
	defined $value or die "report.pl: $ARGV, line $.: not a sample: $_\n";
	my $t = $seen{$table} //= do { push @tables, $table; {rows => [], metrics => []} };
	push @{$t->{rows}}, $row unless $t->{row}{$row}++;
	push @{$t->{metrics}}, $metric unless $t->{metric}{$metric}++;
	$value{$table}{$row}{$metric}{$round} = $value;
	close ARGV if eof; # resets $., the line number
}

sub spread {
	my @sorted = sort { $a <=> $b } @_;
	my $middle = int(@sorted / 2);
	my $median = @sorted % 2 ? $sorted[$middle] : ($sorted[$middle - 1] + $sorted[$middle]) / 2;
	return {median => $median + 0, least => $sorted[0] + 0, most => $sorted[-1] + 0, samples => scalar @sorted};
}

# Rounds to three digits, without an exponent
sub short {
	my ($n) = @_;
	my $text = abs $n >= 100 ? sprintf '%.0f', $n : sprintf '%.3g', $n;
	1 while $text =~ s/^(-?\d+)(\d{3})/$1,$2/;
	return $text;
}

sub cell {
	my ($s) = @_;
	return '-' unless $s;
	return short($s->{median}) if $s->{least} == $s->{most};
	return sprintf '%s (%s..%s)', map { short($_) } @$s{qw(median least most)};
}

sub ratios {
	my ($table) = @_;
	my @found;
	for my $want (@{$about{$table}{ratios} // []}) {
		my ($one, $other, $aim) = @$want;
		my ($row) = grep { /\b\Q$one\E/ } @{$seen{$table}{rows}};
		my ($base) = grep { /\b\Q$other\E/ } @{$seen{$table}{rows}};
		next unless $row && $base;
		for my $metric (grep { $_ =~ $about{$table}{metrics} } @{$seen{$table}{metrics}}) {
			my ($up, $down) = ($value{$table}{$row}{$metric}, $value{$table}{$base}{$metric});
			next unless $up && $down;
			my @ratio = map { $up->{$_} / $down->{$_} } grep { $down->{$_} } keys %$up;
			push @found, {what => "$metric: $row / $base", aim => $aim, %{spread(@ratio)}};
		}
	}
	return @found;
}

my %report;
for my $table (@tables) {
	my $t = $seen{$table};
	my @lines = ([$t->{rows}[0] =~ /^\d+$/ ? 'N' : '', @{$t->{metrics}}]);
	for my $row (@{$t->{rows}}) {
		my %cells = map { $_ => spread(values %{$value{$table}{$row}{$_}}) } keys %{$value{$table}{$row}};
		$report{tables}{$table}{$row} = \%cells;
		push @lines, [$row, map { cell($cells{$_}) } @{$t->{metrics}}];
	}
	if ($about{$table}{turned}) {
		my @turned = map { my $i = $_; [map { $_->[$i] } @lines] } 0 .. $#{$lines[0]};
		@lines = @turned;
	}
	my @width = map { my $i = $_; (sort { $b <=> $a } map { length $_->[$i] } @lines)[0] } 0 .. $#{$lines[0]};
	printf "\n%s\n\n", $about{$table}{title} // $table;
	for my $line (@lines) {
		my ($row, @cells) = map { my $i = $_; $i ? sprintf '%*s', $width[$i], $line->[$i] : sprintf '%-*s', $width[0], $line->[0] }
			0 .. $#$line;
		print join('  ', $row, @cells), "\n";
	}
	my @ratios = ratios($table);
	$report{ratios}{$table} = \@ratios if @ratios;
	print "\n" if @ratios;
	printf "%s: %s; meant to be %s\n", $_->{what}, cell($_), $_->{aim} for @ratios;
	print "\n$about{$table}{note}\n" if $about{$table}{note};
}

# find_cell TABLE ROW METRIC: the cell of the first row that matches the regex ROW
sub find_cell {
	my ($table, $row, $metric) = @_;
	my ($name) = grep { /$row/ } @{$seen{$table}{rows} // []};
	return $name && $report{tables}{$table}{$name}{$metric};
}

# What the short table and the plot compare: the name, and the regex of the sections' rows
my @ways = (['one instance', '^one instance'], ["kernel's hash", "kernel's hash"], ['selector', 'selector'], ['tee in front', '^tee']);
# The faster of the two rates, which the machine decides
my ($fast) = reverse sort { $a <=> $b } map { /^daemons, (\d+)/ } @{$seen{datagrams}{metrics} // []};
$fast //= 0;
my @short = (
	['CPU seconds for a million datagrams, daemons, at 20,000/s', 'datagrams', '', 'daemons, 20000/s'],
	["the same at $fast/s", 'datagrams', '', "daemons, $fast/s"],
	["datagrams a second without loss; ≥: the exporters' own limit", 'datagrams', '', 'highest rate without loss'],
	['NetFlow v9 decoded, changing source ports, %', 'templates', '', 'netflow9'],
	['lost of 20,000/s, stop and start', 'disturbance', '.* 20000/s', 'stop and start'],
	['lost of 20,000/s, SIGKILL', 'disturbance', '.* 20000/s', 'SIGKILL'],
	['lost of 100,000/s, stop and start', 'disturbance', '.* 100000/s', 'stop and start'],
	['lost of 100,000/s, SIGKILL', 'disturbance', '.* 100000/s', 'SIGKILL'],
);
print "\n|  |", join('|', map { " $_->[0] " } @ways), "|\n|", ' --- |' x (@ways + 1), "\n";
for my $line (@short) {
	my ($label, $table, $more, $metric) = @$line;
	my @cells = map { find_cell($table, $_->[1] . $more, $metric) } @ways;
	my @limited = map { my $s = find_cell($table, $_->[1], "at the exporters' own limit"); $metric =~ /rate/ && $s && $s->{median} } @ways;
	print '| ', join(' | ', $label, map { ($limited[$_] ? '≥ ' : '') . cell($cells[$_]) } 0 .. $#cells), " |\n" if grep { $_ } @cells;
}

# The same for one instance, beside unpatched pmacct. The last word: where a cell of 1 says that the exporters were at their own limit
my @one = (
	(map { ["CPU time of the core for a datagram, $_, ns", 'core', $_] } @{$seen{core}{metrics} // []}),
	(map { ["datagrams a second without loss, $_ buffer", 'limit', "$_ buffer, datagrams a second", "$_ buffer, at the exporters' own limit"] }
		'default', '212,992 bytes', '16 MiB'),
	['system calls for a datagram at 100,000/s', 'calls', '100000/s'],
	(map { ["us until 99 of 100 datagrams are handed on, at $_", 'latency', $_] } @{$seen{latency}{metrics} // []}),
);
print "\n| one instance | unpatched | with the keys |\n| --- | --- | --- |\n" if $seen{core};
for my $line (@one) {
	my ($label, $table, $metric, $limit) = @$line;
	my @cells = map {
		my $limited = $limit && find_cell($table, $_, $limit);
		($limited && $limited->{median} ? '≥ ' : '') . cell(find_cell($table, $_, $metric))
	} '^unpatched', '^ours';
	print '| ', join(' | ', $label, @cells), " |\n" if $seen{$table};
}

# first_match FILE REGEX
sub first_match {
	my ($file, $regex) = @_;
	open my $in, '<', $file or return 'unknown';
	while (<$in>) { return $1 if /$regex/ }
	return 'unknown';
}
my ($system, undef, $kernel, undef, $machine) = POSIX::uname();
my $cores = () = do { open my $in, '<', '/proc/cpuinfo' or die; local $/; <$in> } =~ /^processor\b/mg;
$report{machine} = {
	cpu => first_match('/proc/cpuinfo', qr/^model name\s*:\s*(.*)/),
	cores => $cores,
	kernel => "$system $kernel $machine",
	date => `date -u +%F` =~ s/\n//r,
};
printf "\n%s, %d cores, %s, %s\n", @{$report{machine}}{qw(cpu cores kernel date)};

open my $json, '>', "$dir/bench.json" or die "report.pl: $dir/bench.json: $!\n";
print $json JSON::PP->new->canonical->pretty->encode(\%report);
close $json or die "report.pl: $dir/bench.json: $!\n";

# ---- the plot ----

# panel TITLE TABLE METRIC MORE [PART]: adds a panel of bars with their spread, one for each way that has a row followed by MORE. PART:
# the metric that the lower, darker part of a bar shows; by default the whole bar is dark.
my @panels;
sub panel {
	my ($title, $table, $metric, $more, $part) = @_;
	my @lines;
	for my $way (@ways) {
		my $s = find_cell($table, $way->[1] . $more, $metric) or next;
		my $p = find_cell($table, $way->[1] . $more, $part // $metric) or next;
		push @lines, sprintf qq{%d %s %s %s "%s" "%s" %s\n}, scalar @lines, @$s{qw(median least most)}, $way->[0], short($s->{median}),
			$p->{median};
	}
	push @panels, {title => $title, lines => join('', @lines), bars => scalar @lines} if @lines;
}
panel('CPU s for a million datagrams, 20,000/s', 'datagrams', 'daemons, 20000/s', '');
panel('NetFlow v9 records decoded, %', 'templates', 'netflow9', '');
panel('lost over stop and start, 20,000/s', 'disturbance', 'stop and start', '.* 20000/s');
exit unless @panels;

my $plot = open_plot("$dir/bench.svg", 900, 300, 1, scalar @panels);
print $plot <<'END';
unset key
set pointintervalbox 0
set border 2
set style fill solid 0.8
set boxwidth 0.6
set xtics scale 0 rotate by -25
set yrange [0:*]
set offsets 0, 0, graph 0.15, 0
END
for my $p (@panels) {
	printf $plot <<'END', @$p{qw(title lines)}, $p->{bars} - 0.5;
set title "%s"
$bars << EOD
%sEOD
set xrange [-0.5:%s]
plot $bars using 1:2:xtic(5) with boxes lc rgb '#99bbdd', \
	$bars using 1:7 with boxes lc rgb '#4477aa', \
	$bars using 1:2:3:4 with yerrorbars lc rgb '#222222' pt -1, \
	$bars using 1:4:6 with labels offset 0,0.8
END
}
close_plot($plot);
