# usage: pcap.pl FILE count             how many datagrams of NetFlow v9 and IPFIX are in a pcap file
#        pcap.pl FILE hex              writes all its datagrams in hexadecimal, and a blank line after each eight
#        pcap.pl FILE send FIRST LAST   sends those from FIRST to LAST - 1, from the addresses that sent them, to port 2100 of the loopback
use strict;
use warnings;
use Socket qw(:DEFAULT AF_INET6 IN6ADDR_LOOPBACK pack_sockaddr_in6);

my ($path, $verb, $first, $last) = @ARGV;

# The IP packet in a frame of Ethernet, with or without VLAN tags
sub packet_of {
	my ($frame) = @_;
	my $at = 12;
	$at += 4 while length $frame > $at + 2 && unpack('n', substr $frame, $at, 2) =~ /^(33024|34984)$/;
	return length $frame > $at + 2 ? substr $frame, $at + 2 : '';
}

# (family, source address, payload) of a datagram, or nothing
sub datagram_of {
	my ($packet) = @_;
	return if length $packet < 40;
	my $version = ord($packet) >> 4;
	if ($version == 4 && ord(substr $packet, 9, 1) == 17) {
		return (AF_INET, substr($packet, 12, 4), substr $packet, 4 * (ord($packet) & 15) + 8);
	}
	return (AF_INET6, substr($packet, 8, 16), substr $packet, 48) if $version == 6 && ord(substr $packet, 6, 1) == 17;
	return;
}

sub read_datagrams {
	my @datagrams;
	open my $file, '<:raw', $path or die "$path: $!\n";
	read $file, my $header, 24 or die "$path: $!\n";
	my $order = unpack('V', $header) =~ /^(2712847316|2712812621)$/ ? 'V' : 'N';
	while (read($file, my $record, 16) == 16) {
		read $file, my $frame, (unpack "${order}4", $record)[2];
		my ($family, $source, $payload) = datagram_of(packet_of($frame));
		next unless $family && length $payload > 16;
		my $version = unpack 'n', $payload;
		push @datagrams, [$family, $source, $payload] if $verb eq 'hex' || $version == 9 || $version == 10;
	}
	return @datagrams;
}

my %socks;

sub sock_of {
	my ($family, $source) = @_;
	return $socks{$source} if $socks{$source};
	socket my $sock, $family, SOCK_DGRAM, 0 or die "socket: $!\n";
	my $is_v4 = $family == AF_INET;
	# IPV6_FREEBIND
	setsockopt $sock, 41, 78, 1 or die "setsockopt: $!\n" unless $is_v4;
	bind $sock, $is_v4 ? pack_sockaddr_in(0, $source) : pack_sockaddr_in6(0, $source) or die "bind: $!\n";
	connect $sock, $is_v4 ? pack_sockaddr_in(2100, INADDR_LOOPBACK) : pack_sockaddr_in6(2100, IN6ADDR_LOOPBACK) or die "connect: $!\n";
	return $socks{$source} = $sock;
}

my @datagrams = read_datagrams();
if ($verb eq 'hex') {
	for my $n (1 .. @datagrams) { print unpack('H*', $datagrams[$n - 1][2]), "\n", $n % 8 ? '' : "\n" }
	exit;
} elsif ($verb eq 'count') {
	print scalar @datagrams, "\n";
	exit;
}
for my $datagram (@datagrams[$first .. $last - 1]) {
	my ($family, $source, $payload) = @$datagram;
	defined send sock_of($family, $source), $payload, 0 or die "send: $!\n";
	select undef, undef, undef, 0.0005;
}
