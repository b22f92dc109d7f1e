# usage: fuzz-corpus.pl nfacctd|sfacctd DIRECTORY
#
# Writes inputs for tests/tools/fuzz.c to a directory: datagrams of each kind that nfacctd or sfacctd decodes, made here, and those that are
# on stdin as hexadecimal lines, of which a blank line ends an input.
use strict;
use warnings;
use Digest::MD5 'md5_hex';

my ($daemon, $directory) = @ARGV;

# An input: each datagram with its length and its exporter
sub write_input {
	my $input = join '', map { pack('nC', length $_, 0) . $_ } @_;
	open my $file, '>:raw', "$directory/" . md5_hex($input) or die "$directory: $!\n";
	print $file $input;
}

# ---- NetFlow ----

# Information elements, and the bytes that they have
my %bytes = (1 => 4, 2 => 4, 3 => 4, 4 => 1, 5 => 1, 6 => 1, 7 => 2, 8 => 4, 9 => 1, 10 => 2, 11 => 2, 12 => 4, 13 => 1, 14 => 2, 15 => 4, 16 => 4,
	17 => 4, 18 => 4, 21 => 4, 22 => 4, 23 => 4, 24 => 4, 27 => 16, 28 => 16, 29 => 1, 30 => 1, 34 => 4, 44 => 4, 45 => 4, 47 => 4, 48 => 2,
	50 => 4, 56 => 6, 57 => 6, 58 => 2, 59 => 2, 60 => 1, 61 => 1, 62 => 16, 63 => 16, (map { $_ => 3 } 70 .. 79), 80 => 6, 81 => 6, 85 => 8,
	86 => 8, 89 => 1, 90 => 8, 95 => 5, 96 => 24, 104 => 60, 128 => 4, 129 => 4, 130 => 4, 131 => 16, 140 => 16, 150 => 4, 151 => 4, 152 => 8,
	153 => 8, 154 => 16, 155 => 16, 158 => 4, 159 => 4, 160 => 8, 169 => 16, 170 => 16, 180 => 2, 181 => 2, 182 => 2, 183 => 2, 225 => 4,
	226 => 4, 227 => 2, 228 => 2, 230 => 1, 231 => 4, 232 => 4, 233 => 1, 234 => 4, 235 => 4, 243 => 2, 244 => 1, 245 => 2, 249 => 4, 252 => 4,
	253 => 4, 254 => 2, 255 => 2, 256 => 2, 302 => 8, 305 => 4, 306 => 4, 315 => 60, 322 => 4, 323 => 8, 351 => 8, 352 => 8, 408 => 2,
	82 => 65535, 210 => 6, 40001 => 4, 40005 => 1);

sub message {
	my ($version, @sets) = @_;
	my $sets = join '', map { my ($id, $items) = @$_; pack('nn', $id, 4 + length $items) . $items } @sets;
	return $version == 9
		? pack('nnNNNN', 9, scalar @sets, 1000, 1700000000, 1, 7) . $sets
		: pack('nnNNN', 10, 16 + length $sets, 1700000000, 1, 7) . $sets;
}

sub value {
	my ($element, $n) = @_;
	return chr(5) . 'abcde' if $bytes{$element} == 65535;
	return frame()  if $element == 315;
	return chr(4)   if $element == 60;
	return substr pack('Q>', $n + 3) x 8, -$bytes{$element}, $bytes{$element};
}

# A template of these elements, and two records of it
sub of_elements {
	my ($version, @elements) = @_;
	@elements = grep { $version == 10 || $bytes{$_} < 65535 } @elements;
	my $fields = join '', map { pack 'nn', $_, $bytes{$_} } @elements;
	write_input(message($version, [$version == 9 ? 0 : 2, pack('nn', 256, scalar @elements) . $fields]),
		message($version, [256, join '', map { my $n = $_; map { value($_, $n) } @elements } 0, 1]));
}

sub of_options {
	my ($version, @elements) = @_;
	my $scope = $version == 9 ? pack('nn', 1, 4) : pack('nn', 149, 4);
	my $fields = $scope . join '', map { pack 'nn', $_, $bytes{$_} } @elements;
	my $head = $version == 9 ? pack('nnn', 257, 4, 4 * @elements) : pack('nnn', 257, 1 + @elements, 1);
	write_input(message($version, [$version == 9 ? 1 : 3, $head . $fields]),
		message($version, [257, pack('N', 7) . join '', map { value($_, 1) } @elements]));
}

sub netflow {
	write_input(pack('nnNNNNCCn', 5, 1, 1000, 1700000000, 0, 1, 0, 0, 0x4064) . pack('NNNnnNNNNnnCCCCnnCCn', 167772161, 167772162, 0, 1, 2, 3, 4, 5, 6,
		80, 443, 0, 0x12, 6, 0, 1, 2, 24, 24, 0));
	for my $version (9, 10) {
		of_elements($version, sort { $a <=> $b } grep { $_ < 315 && $_ != 104 && $_ != 230 } keys %bytes);
		of_elements($version, 8, 12, 4, 7, 11, 1, 2, 5, 6, 9, 13, 10, 14, 16, 17, 21, 22, 58, 80, 56, 61);
		of_elements($version, 27, 28, 4, 7, 11, 1, 2, 70, 71, 72, 152, 153, 58);
		of_elements($version, 8, 12, 70, 71, 1, 2, 58, 59, 95, 234, 90, 48);
		of_elements($version, 315, 408, 1, 2);
		of_elements($version, 104, 1, 2);
		of_elements($version, 225, 226, 227, 228, 230, 8, 12, 323);
		of_elements($version, 8, 12, 231, 232, 40001, 40005, 233, 351, 249, 82, 210);
		of_options($version, 48, 34, 50, 302, 305, 306);
		of_options($version, 95, 96, 130, 131, 234, 235, 90);
	}
	write_input(message(10, [2, pack('nn', 256, 5) . pack('nnN', 0x8021, 4, 9) . pack('nnN', 0x8001, 8, 43874) . pack('nnN', 0x8003, 65535, 43874) .
		pack('nnnn', 82, 65535, 1, 4)]), message(10, [256, pack('NQ>', 1, 5) . chr(3) . 'abc' . chr(255) . pack('n', 4) . 'long' . pack('N', 9)]));
}

# ---- sFlow ----

sub frame {
	my ($kind) = @_;
	my $ip = pack('CCnnnCCnNN', 0x45, 0, 46, 1, 0, 64, 6, 0, 0x0a000001, 0x0a000002) . pack('nnNNCCnnn', 80, 443, 1, 2, 0x50, 0x12, 3, 0, 0);
	my $ip6 = pack('NnCC', 0x60000000, 20, 6, 64) . ("\x20\x01" . "\0" x 14) x 2 . pack('nnNNCCnnn', 80, 443, 1, 2, 0x50, 0x12, 3, 0, 0);
	my %types = (
		ip => pack('n', 0x800) . $ip,
		ip6 => pack('n', 0x86dd) . $ip6,
		vlan => pack('nnn', 0x8100, 7, 0x800) . $ip,
		qinq => pack('nnnnn', 0x88a8, 7, 0x8100, 8, 0x86dd) . $ip6,
		mpls => pack('nNN', 0x8847, 0x10000, 0x11140) . $ip,
		gre => pack('n', 0x800) . pack('CCnnnCCnNN', 0x45, 0, 62, 1, 0, 64, 47, 0, 1, 2) . pack('nn', 0, 0x800) . $ip,
		vxlan => pack('n', 0x800) . pack('CCnnnCCnNN', 0x45, 0, 90, 1, 0, 64, 17, 0, 1, 2) . pack('nnnnNN', 9, 4789, 60, 0, 0x08000000, 0x700) . "\1" x 12 .
			pack('n', 0x800) . $ip,
	);
	my $frame = "\2" x 6 . "\4" x 6 . $types{ $kind // 'ip' };
	return defined $kind ? $frame : $frame . "\0" x (60 - length $frame);
}

sub opaque {
	my ($format, $data) = @_;
	$data .= "\0" x (-length($data) % 4);
	return pack('NN', $format, length $data) . $data;
}

sub flow_records {
	my $text = sub { pack('N', length $_[0]) . $_[0] . "\0" x (-length($_[0]) % 4) };
	return (
		(map { my $frame = frame($_); opaque(1, pack('NNNN', 1, 100, 4, length $frame) . $frame) } qw(ip ip6 vlan qinq mpls gre vxlan)),
		opaque(1, pack('NNNN', 11, 100, 4, 40) . substr frame('ip'), 14),
		opaque(2, pack('N', 60) . "\2" x 8 . "\4" x 8 . pack('N', 0x800)),
		opaque(3, pack('NNNNNNNN', 60, 6, 1, 2, 80, 443, 2, 0)),
		opaque(4, pack('NN', 60, 6) . "\1" x 32 . pack('NNNN', 80, 443, 2, 0)),
		opaque(1001, pack('NNNN', 7, 0, 8, 0)),
		opaque(1002, pack('NNNN', 1, 0x0a000003, 24, 24)),
		opaque(1003, pack('NNNNNNNNNNNN', 1, 0x0a000003, 1, 2, 3, 1, 2, 2, 4, 5, 1, 6) . pack('N', 100)),
		opaque(1004, pack('N', 1) . $text->('user') . pack('N', 1) . $text->('other')),
		opaque(1005, pack('N', 1) . $text->('http://x/') . $text->('host')),
		opaque(1006, pack('NNNNNN', 1, 0x0a000003, 1, 16, 1, 17)),
		opaque(1007, $text->('tunnel') . pack('NN', 1, 2)),
		opaque(1008, $text->('vc') . pack('NN', 1, 2)),
		opaque(1009, $text->('fec') . pack('N', 24)),
		opaque(1010, pack('NNN', 1, 0x0a000003, 24)),
		opaque(1011, pack('N', 7)),
		opaque((43874 << 12) + 1, pack('N', 60) . $text->('class')),
		opaque((43874 << 12) + 2, pack('Q>', 5)),
	);
}

sub sflow5 {
	return pack('NNNNNNN', 5, 1, 0x0a000001, 0, 1, 1000, scalar @_) . join '', @_;
}

sub sflow {
	my @records = flow_records();
	my $head = pack('NNNNNNN', 1, 1, 100, 100, 0, 1, 2);
	my $expanded = pack('NNNNNNNNNN', 1, 0, 1, 100, 100, 0, 0, 1, 0, 2);
	for my $record (@records) {
		write_input(sflow5(opaque(1, $head . pack('N', 1) . $record), opaque(3, $expanded . pack('N', 1) . $record)));
		write_input(sflow5(opaque(1, $head . pack('N', 2) . $records[0] . $record)));
	}
	write_input(sflow5(opaque(1, $head . pack('N', scalar @records) . join '', @records)));
	write_input(sflow5(opaque(2, pack('NNN', 1, 1, 2) . opaque(1, "\0" x 88) . opaque(2, "\0" x 52)), opaque(4, pack('NNNN', 1, 0, 1, 1) . opaque(1, "\0" x 88))));
	for my $version (2, 4) {
		my $frame = frame('ip');
		$frame .= "\0" x (-length($frame) % 4);
		write_input(pack('NNNNNN', $version, 1, 0x0a000001, 1, 1000, 1) . pack('NNNNNNNNN', 1, 1, 1, 100, 100, 0, 1, 2, 1) .
			pack('NNN', 1, 100, length $frame) . $frame . pack('N', 3) . pack('NNNNN', 1, 7, 0, 8, 0) . pack('NNNNN', 2, 1, 0x0a000003, 24, 24) .
			pack('NNNNNNNN', 3, 1, 2, 3, 1, 2, 1, 4) . pack('NN', 0, 100));
	}
}

mkdir $directory;
$daemon eq 'nfacctd' ? netflow() : sflow();
unless (-t STDIN) {
	my @datagrams;
	while (defined(my $line = <STDIN>)) {
		chomp $line;
		push @datagrams, pack 'H*', $line if length $line;
		write_input(splice @datagrams) if @datagrams && !length $line;
	}
	write_input(@datagrams) if @datagrams;
}
