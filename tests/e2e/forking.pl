# Echoes each connection in a process of its own.
use strict;
use warnings;
use IO::Socket::INET;

$SIG{CHLD} = 'IGNORE';
my $listener = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => 7000, Listen => 64, ReuseAddr => 1)
    or die "listen: $@";
while (1) {
    my $connection = $listener->accept() or next;
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) {
        $listener->close();
        while (sysread($connection, my $bytes, 65536)) {
            my $sent = 0;
            while ($sent < length $bytes) {
                $sent += syswrite($connection, $bytes, length($bytes) - $sent, $sent) // die "write: $!";
            }
        }
        exit 0;
    }
    $connection->close();
}
