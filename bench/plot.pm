# A plot of several panels as an SVG, by gnuplot: bench/report.pl and tests/tools/dashboard.pl fill in the panels.
package plot;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(open_plot close_plot);

# open_plot FILE WIDTH HEIGHT ROWS COLUMNS: a gnuplot that takes the commands of the panels, row by row
sub open_plot {
	my ($file, $width, $height, $rows, $columns) = @_;
	open my $plot, '|-', 'gnuplot' or die "gnuplot: $!\n";
	binmode $plot, ':encoding(UTF-8)';
	print $plot <<"END";
set terminal svg size $width,$height font 'sans,11' background 'white'
set output '$file'
set multiplot layout $rows,$columns
set ytics nomirror
END
	return $plot;
}

sub close_plot {
	my ($plot) = @_;
	print $plot "unset multiplot\n";
	close $plot or die "gnuplot failed\n";
}

1;
