package Bench::Flock;

# The same job under flock(1), which becomes the job when it has the lock. The job leaves its state itself, and syncs it.

use strict;
use warnings;

use Bench::Jobs qw(new_box open_fifo stamp_program start_peer);
use Graceful::Test qw(slurp wait_for);
use parent 'Bench::Queue';

sub new {
    my ($class, $size) = @_;
    my $box = new_box();
    my $self = bless({ box => $box, fifo => open_fifo($box), size => $size, pids => [] }, $class);

    return $self->fill;
}

sub queue_one {
    my ($self) = @_;
    my $box = $self->{box};

    push @{ $self->{pids} }, start_peer($box->path('flock.out'), 'flock', '--no-fork', "$box->{disk}/lock", stamp_program(),
        $self->{fifo}{path}, 'job001', $self->{size}, "$box->{disk}/state");
    return;
}

# The kernel lists the next one as a waiter.
sub ready {
    my ($self) = @_;
    my $next = $self->{pids}[1];

    wait_for('flock to wait', sub { slurp('/proc/locks') =~ /-> FLOCK +\S+ +\S+ +$next / });
    return;
}

1;
