package Graceful::Notify;

# The end of NOTIFY_SOCKET that an init system has: hears what a master says of itself.
#
#   my $init = Graceful::Notify->new($box->path('notify'));
#   my $master = $box->start($conf, sub { $init->prepare(WATCHDOG_USEC => 2_000_000) });
#   $init->wait_for_line(qr/^READY=1$/);

use strict;
use warnings;

use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);

use Graceful::Test qw(wait_for);

sub new {
    my ($class, $path) = @_;
    my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) or die "$path: $!\n";

    $socket->blocking(0);
    return bless({ path => $path, socket => $socket, lines => [] }, $class);
}

sub path { return $_[0]{path} }

# In the child that becomes the master: what an init system puts into its environment.
sub prepare {
    my ($self, %more) = @_;

    %ENV = (%ENV, NOTIFY_SOCKET => $self->{path}, %more);
    return;
}

# Every line so far.
sub lines {
    my ($self) = @_;
    my $text;

    while (defined $self->{socket}->recv($text, 65536)) {
        push @{ $self->{lines} }, split(/\n/, $text);
    }
    return @{ $self->{lines} };
}

sub count {
    my ($self, $pattern) = @_;

    return scalar(grep { $_ =~ $pattern } $self->lines);
}

# Until it was said $n times; returns the last of these lines.
sub wait_for_line {
    my ($self, $pattern, $n) = @_;

    return wait_for("the init system hears $pattern", sub {
        my @found = grep { $_ =~ $pattern } $self->lines;
        return @found >= ($n // 1) ? $found[-1] : undef;
    });
}

1;
