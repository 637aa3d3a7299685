package Bench::Pair;

# Two masters with the same jobs, which are handed from one to the other and back.

use strict;
use warnings;

use Bench::Figures qw(now);
use Bench::Jobs qw(new_box open_fifo next_stamp last_stamp stamp_jobs config);
use Graceful::Test qw(wait_for);

# $size: of the state. $more: keys of the configuration. $jobs: how many, which take turns, as a worker that hands its job
# over has to come back to the queue. $program: another build of graceful than that of the build directory.
sub new {
    my ($class, $size, $jobs, $more, $program) = @_;
    my $box = new_box($more->{coordinator});
    my $fifo = open_fifo($box);
    local $ENV{GRACEFUL} = $program // $box->graceful;
    my @masters = map { $box->start(config($box, $_, stamp_jobs($fifo, $jobs, $size), $more)) } qw(web-1 web-2);

    last_stamp($fifo, $jobs);
    return bless({ fifo => $fifo, masters => \@masters, box => $box, jobs => $jobs, round => 0, epoch => {}, ended => {} }, $class);
}

# Waits until one of the masters owns the job and the other one's worker is in the queue; returns the owner's. A status
# file may be older than the last hand-over, but it does not know the next epoch.
sub wait_for_queue {
    my ($self, $job) = @_;

    return wait_for("an owner and a standby of $job", sub {
        my %of = map { (($_->{state} // '') => $_) } map { $_->job($job) } @{ $self->{masters} };
        my $owner = $of{running};
        return if !$owner || !$of{standby} || $owner->{epoch} <= ($self->{ended}{$job} // 0);
        $self->{epoch}{$job} = $owner->{epoch};
        return $owner->{worker_pid};
    });
}

sub name_of { return sprintf('job%03d', $_[1] % $_[0]{jobs} + 1) }

# The job that was handed over last has a standby again, too.
sub ready {
    my ($self) = @_;

    return if $self->{owner};
    $self->wait_for_queue($self->name_of($self->{round} - 1)) if $self->{round} > 0;
    $self->{owner} = $self->wait_for_queue($self->name_of($self->{round}));
    return;
}

# Seconds from the signal at the owner to the next owner's first instruction. After ready().
sub hand_over {
    my ($self) = @_;
    my $job = $self->name_of($self->{round}++);
    my $owner = delete $self->{owner};

    $self->{ended}{$job} = $self->{epoch}{$job};
    my $begin = now();

    kill('INT', $owner);
    return (next_stamp($self->{fifo}))[1] - $begin;
}

sub close {
    my ($self) = @_;

    $_->signal('TERM') for @{ $self->{masters} };
    $_->wait_exit for @{ $self->{masters} };
    return;
}

1;
