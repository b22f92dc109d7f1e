# usage: dashboard.pl API START END FILE MARK... <DASHBOARD
#
# Asks Prometheus at API for what panels of the dashboard show from START to END, seconds since the epoch, and draws that to FILE, an SVG.
# The dashboard is on stdin, as Grafana has it but for its variables. MARK: SECOND:TEXT, a moment that each panel marks.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use lib "$FindBin::Bin/../../bench";
use plot;

my ($api, $start, $end, $file, @marks) = @ARGV;
my @titles = ('Received', 'What it gets, divided by its share', 'Who reads', 'Age of the last sign of life', 'Queue', 'Exporter state');
my @colours = ('#4477aa', '#ee7733', '#228833', '#aa3377');
my %unit = (cps => 'a second', s => 'seconds', percentunit => '%');
my %panels = map { $_->{title} => $_ } @{decode_json(do { local $/; <STDIN> })->{panels}};

# series TARGET: a list of [NAME, [TIME, VALUE]...], named by the target's legend
sub series {
	my ($target) = @_;
	open my $curl, '-|', 'curl', '-sG', '--data-urlencode', "query=$target->{expr}", "$api/query_range?start=$start&end=$end&step=1" or die "curl: $!\n";
	my $answer = decode_json(do { local $/; <$curl> });
	$answer->{status} eq 'success' or die "dashboard.pl: $target->{expr}: $answer->{error}\n";
	return map {
		my $labels = $_->{metric};
		[($target->{legendFormat} // '') =~ s/\{\{(\w+)\}\}/$labels->{$1} \/\/ ''/ger, @{$_->{values}}]
	} @{$answer->{data}{result}};
}

# points NAME SERIES SCALE: a block of data of gnuplot, with a gap where Prometheus has no sample
sub points {
	my ($name, $values, $scale) = @_;
	my ($text, $last) = ("\$$name << EOD\n", undef);
	for my $value (@$values) {
		$text .= "\n" if defined $last && $value->[0] - $last > 1.5;
		$last = $value->[0];
		$text .= sprintf "%.3f %g\n", $value->[0] - $start, $value->[1] * $scale if $value->[1] =~ /^[-+.\de]+$/;
	}
	return "${text}EOD\n";
}

# draw_lines PLOT PANEL SERIES...
sub draw_lines {
	my ($plot, $panel, @series) = @_;
	my $unit = $panel->{fieldConfig}{defaults}{unit};
	my @lines;
	for my $i (0 .. $#series) {
		my ($name, @values) = @{$series[$i]};
		print $plot points("d$i", \@values, $unit eq 'percentunit' ? 100 : 1);
		# A bucket has one colour; what is added to its name is dashed
		my ($bucket, $more) = $name =~ /(?:^| )(\d+)(?: (\w+))?$/ ? ($1, $2) : ($i, '');
		my $dashed = $more && $more ne 'reads' ? 'dt 2' : '';
		push @lines, "\$d$i using 1:2 with lines lw 2 $dashed lc rgb '$colours[$bucket % @colours]' title \"$name\"";
	}
	printf $plot "set ylabel '%s'\nset yrange [0:*]\nset ytics auto\n", $unit{$unit} // '';
	print $plot 'plot ', join(", \\\n", @lines), "\n";
}

# draw_states PLOT PANEL SERIES...: a lane for each series, in the colours of the panel's mappings
sub draw_states {
	my ($plot, $panel, @series) = @_;
	my $states = $panel->{fieldConfig}{defaults}{mappings}[0]{options};
	my %colour = (red => '#cc3311', yellow => '#ddaa33', green => '#228833');
	my @lines;
	for my $state (sort keys %$states) {
		my @found = map { my $lane = $_; map { $_->[1] == $state ? [$_->[0], $lane] : () } @{$series[$lane]}[1 .. $#{$series[$lane]}] } 0 .. $#series;
		next unless @found;
		print $plot "\$s$state << EOD\n", map({ sprintf "%.3f %d\n", $_->[0] - $start, $_->[1] } @found), "EOD\n";
		push @lines, "\$s$state using (\$1-0.5):2:(1):(0) with vectors nohead lw 14 lc rgb '$colour{$states->{$state}{color}}' title '$states->{$state}{text}'";
	}
	my $lanes = join ', ', map { qq("$series[$_][0]" $_) } 0 .. $#series;
	printf $plot "set ylabel ''\nset yrange [-0.6:%s]\nset ytics (%s)\n", $#series + 0.6, $lanes;
	print $plot 'plot ', join(", \\\n", @lines), "\n";
}

my $plot = open_plot($file, 900, 780, 3, 2);
printf $plot "set key below font ',9' samplen 2\nset border 3\nset xtics nomirror\nset xrange [0:%d]\nset grid y lc rgb '#dddddd'\n", $end - $start;
for my $mark (@marks) {
	my ($second, $text) = split /:/, $mark, 2;
	print $plot "set arrow from $second, graph 0 to $second, graph 1 nohead dt 3 lc rgb '#888888'\n";
	print $plot "set label \"$text\" at $second, graph 0.97 offset 0.4 font ',8' textcolor rgb '#666666'\n";
}
for my $title (@titles) {
	my $panel = $panels{$title} or die "dashboard.pl: the dashboard has no panel '$title'\n";
	my @series = sort { $a->[0] cmp $b->[0] } map { series($_) } @{$panel->{targets}};
	@series or die "dashboard.pl: '$title' has no samples\n";
	print $plot "set title \"$title\"\n";
	$panel->{type} eq 'state-timeline' ? draw_states($plot, $panel, @series) : draw_lines($plot, $panel, @series);
}
close_plot($plot);
