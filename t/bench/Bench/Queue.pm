package Bench::Queue;

# The same job under a peer that queues for a lock: an owner and one that waits, processes of ours. A peer brings new(), queue_one(),
# which adds one behind the others, ready(), and whom the signal goes to, where that is not the owner.

use strict;
use warnings;

use Bench::Figures qw(now);
use Bench::Jobs qw(next_stamp end_peers);

sub fill {
    my ($self) = @_;

    $self->queue_one;
    next_stamp($self->{fifo});
    $self->queue_one;
    return $self;
}

sub signalled { return $_[0]{pids}[0] }

sub hand_over {
    my ($self) = @_;
    my ($owner) = @{ $self->{pids} };
    my $pid = $self->signalled;
    my $begin = now();

    kill('INT', $pid);
    my $gap = (next_stamp($self->{fifo}))[1] - $begin;
    waitpid($owner, 0);
    end_peers(shift @{ $self->{pids} });
    $self->queue_one;
    return $gap;
}

sub close { return end_peers(reverse splice(@{ $_[0]{pids} })) }

1;
