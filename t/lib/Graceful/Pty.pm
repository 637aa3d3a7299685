package Graceful::Pty;

# Pseudo-terminals, of which Perl's core knows nothing.

use strict;
use warnings;

use Exporter qw(import);
use Fcntl qw(O_NOCTTY O_RDWR);

our @EXPORT_OK = qw(open_pty);

# Numbers of ioctls of Linux.
use constant { TIOCGPTN => 0x80045430, TIOCSPTLCK => 0x40045431 };

# The near end, and the path of the far end; nothing where there are none.
sub open_pty {
    sysopen(my $terminal, '/dev/ptmx', O_RDWR | O_NOCTTY) or return;
    my ($number, $unlock) = (pack('i', 0), pack('i', 0));

    ioctl($terminal, TIOCSPTLCK, $unlock) or return;
    ioctl($terminal, TIOCGPTN, $number) or return;
    my $name = '/dev/pts/' . unpack('i', $number);
    return -e $name ? ($terminal, $name) : ();
}

1;
