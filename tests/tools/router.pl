# usage: router.pl FROM VERSION DOMAIN SEQUENCE MESSAGE...
#
# A router with that IPv4 address sends messages of NetFlow v9 (VERSION 9) or IPFIX (10) to port 2100 of the loopback. DOMAIN: source id,
# or observation domain. SEQUENCE: the number of the first message; each one adds 1 in NetFlow v9, in IPFIX as many as it has data
# sets, which have one record each. A MESSAGE is one or more sets "ID:ITEM,ITEM,..." with "+" in between. An item is a number of 16 bits,
# with N before it one of 32 bits, with C one of 8 bits, with Q one of 64 bits, with a a text. "=HEX" is a whole datagram instead. From
# "~N" on, N messages a second are sent; one that is late is made up for.
use strict;
use warnings;
use Socket qw(:DEFAULT inet_aton);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC sleep);

my ($from, $version, $domain, $sequence, @messages) = @ARGV;
socket my $sock, AF_INET, SOCK_DGRAM, 0 or die "socket: $!\n";
bind $sock, sockaddr_in(0, inet_aton($from)) or die "bind: $!\n";
connect $sock, sockaddr_in(2100, inet_aton('127.0.0.1')) or die "connect: $!\n";

sub item {
	my ($kind, $value) = $_[0] =~ /^([NCQa]?)(.*)$/;
	return $value if $kind eq 'a';
	return pack $kind eq 'Q' ? 'Q>' : $kind || 'n', $value;
}

my ($pause, $due);
for my $message (@messages) {
	if ($message =~ /^~(\d+)$/) {
		($pause, $due) = (1 / $1, clock_gettime(CLOCK_MONOTONIC));
		next;
	}
	if ($pause) {
		my $early = $due - clock_gettime(CLOCK_MONOTONIC);
		sleep $early if $early > 0;
		$due += $pause;
	}
	if ($message =~ /^=(.*)/) {
		defined send $sock, pack('H*', $1), 0 or die "send: $!\n";
		next;
	}
	my ($sets, $count, $records) = ('', 0, 0);
	for my $set (split /\+/, $message) {
		my ($id, $items) = split /:/, $set, 2;
		my $bytes = join '', map { item($_) } split /,/, $items;
		$bytes .= "\0" x (-length($bytes) % 4) if $id < 256;
		$sets .= pack('nn', $id, 4 + length $bytes) . $bytes;
		$count++;
		$records++ if $id >= 256;
	}
	my $header = $version == 9
		? pack('nnNNNN', 9, $count, 1000, time, $sequence, $domain)
		: pack('nnNNN', 10, 16 + length $sets, time, $sequence, $domain);
	defined send $sock, $header . $sets, 0 or die "send: $!\n";
	$sequence += $version == 9 ? 1 : $records;
}
