package Bench::Flock;

# The same job under flock(1), which becomes the job when it has the lock. The job leaves its state itself, and syncs it.

use strict;
use warnings;

use Bench::Figures qw(now);
use Bench::Jobs qw(new_box open_fifo next_stamp stamp_program start_peer end_peers);
use Graceful::Test qw(slurp wait_for);

sub new {
    my ($class, $size) = @_;
    my $box = new_box();
    my $self = bless({ box => $box, fifo => open_fifo($box), size => $size, pids => [] }, $class);

    $self->queue_one;
    next_stamp($self->{fifo});
    $self->queue_one;
    return $self;
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

sub hand_over {
    my ($self) = @_;
    my ($owner) = @{ $self->{pids} };
    my $begin = now();

    kill('INT', $owner);
    my $gap = (next_stamp($self->{fifo}))[1] - $begin;
    waitpid($owner, 0);
    end_peers(shift @{ $self->{pids} });
    $self->queue_one;
    return $gap;
}

sub close { return end_peers(reverse splice(@{ $_[0]{pids} })) }

1;
