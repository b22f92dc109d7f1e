# lock.pl FILE...: locks each file, as pmacct locks what it writes (lockf(3)): who writes there waits until this ends, on SIGTERM. Prints
# "locked" when it has them all.
use strict;
use warnings;
use Fcntl qw(F_SETLK F_WRLCK SEEK_SET);

$| = 1;
my @files;
for my $name (@ARGV) {
	open(my $file, '>>', $name) or die "$name: $!\n";
	# struct flock of Linux: type, whence, start, length, pid; 64-bit offsets are aligned to 8 bytes
	my $lock = pack('s s x![q] q q l x![q]', F_WRLCK, SEEK_SET, 0, 0, 0);
	fcntl($file, F_SETLK, $lock) or die "$name: $!\n";
	push @files, $file;
}
print "locked\n";
sleep;
