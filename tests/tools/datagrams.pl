# usage: datagrams.pl send 4|6 PORT LENGTH...    sends a datagram of each length to the loopback: version 10 as NetFlow has it, and bytes that
#                                                depend on its place in the row
#        datagrams.pl flood 4|6 PORT LENGTH       sends datagrams of that length until SIGTERM, and then writes how many
#        datagrams.pl record 4|6 PORT FILE       writes a line "length digest" for each datagram that comes to the loopback, until SIGTERM
use strict;
use warnings;
use Digest::MD5 'md5_hex';
use Socket qw(:DEFAULT AF_INET6 IN6ADDR_LOOPBACK pack_sockaddr_in6);

my ($verb, $family, $port, @rest) = @ARGV;
my $loopback = $family == 4 ? pack_sockaddr_in($port, INADDR_LOOPBACK) : pack_sockaddr_in6($port, IN6ADDR_LOOPBACK);
my $sock;
socket $sock, $family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0 or die "socket: $!\n";

if ($verb eq 'send') {
	connect $sock, $loopback or die "connect: $!\n";
	for my $place (0 .. $#rest) {
		my $length = $rest[$place];
		my $datagram = pack('n', 10) . pack('N', $place) x ($length / 4 + 1);
		defined send $sock, substr($datagram, 0, $length), 0 or die "send of $length bytes: $!\n";
	}
} elsif ($verb eq 'flood') {
	my ($sent, $stop) = (0, 0);
	$SIG{TERM} = sub { $stop = 1 };
	connect $sock, $loopback or die "connect: $!\n";
	until ($stop) { $sent++ if defined send $sock, 'x' x $rest[0], 0 }
	print "$sent\n";
} else {
	setsockopt $sock, SOL_SOCKET, SO_RCVBUF, 4000000 or die "SO_RCVBUF: $!\n";
	bind $sock, $loopback or die "bind: $!\n";
	open my $file, '>', $rest[0] or die "$rest[0]: $!\n";
	$file->autoflush;
	while (defined recv($sock, my $datagram, 65536, 0)) {
		printf $file "%d %s\n", length $datagram, md5_hex($datagram);
	}
}
