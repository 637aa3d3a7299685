package Bench::Handover;

# Hand-overs: graceful and its peers take turns, so that the ratio says more than either figure.

use strict;
use warnings;

use Bench::Etcdctl;
use Bench::Figures qw(heading median quantile ratio row row_of_gaps);
use Bench::Flock;
use Bench::Jobs qw(settle);
use Bench::Pair;
use Graceful::Etcd;

# With fewer a job would be handed over again while its last owner's worker is on its way back, or while the job is so young that the
# worker first looks whether it has come to installing its handlers.
use constant LOCAL_TURNS => 50;
use constant ETCD_TURNS => 30;

# Each of the contestants is [name, what has ready() and hand_over()]; returns the gaps of each. All have a standby again,
# and the machine is quiet, before any of them goes on: the start of one's next standby is no part of another's gap.
sub take_turns {
    my ($rounds, @contestants) = @_;
    my @gaps = map { [] } @contestants;

    for my $round (1 .. $rounds) {
        for my $turn (map { ($_ + $round) % @contestants } 0 .. $#contestants) {
            $_->[1]->ready for @contestants;
            settle(0.1);
            push @{ $gaps[$turn] }, $contestants[$turn][1]->hand_over;
        }
    }
    $_->[1]->close for @contestants;
    row_of_gaps($contestants[$_][0], @{ $gaps[$_] }) for 0 .. $#contestants;
    return @gaps;
}

sub row_of_ratios {
    my ($name, $ours, $theirs) = @_;
    return row($name, map { ratio(quantile($_, @$ours), quantile($_, @$theirs)) } 0.5, 0.9, 0.99, 1);
}

# graceful, and the other build of it that is to be compared.
sub pairs {
    my ($options, $what, $size, $turns, $more) = @_;
    my @pairs = ([ "graceful, $what", Bench::Pair->new($size, $turns, $more) ]);

    push @pairs, [ '  the other build', Bench::Pair->new($size, $turns, $more->{coordinator} ? { %$more, namespace => '/other' } : {}, $options->{with}) ]
        if $options->{with};
    return @pairs;
}

sub head {
    my ($rounds, $how) = @_;

    heading("Hand-over by $how: ms from SIGINT at the owner to the next job's first instruction, n=$rounds of each");
    return row('', 'median', 'p90', 'p99', 'max');
}

sub run_local {
    my ($options) = @_;
    my $rounds = $options->{rounds} // ($options->{quick} ? 20 : 200);

    head($rounds, 'the local coordinator');
    for my $size (0, 4096, 1 << 20) {
        my $what = $size ? sprintf('state of %d KiB', $size >> 10) : 'no state';
        my @ours = pairs($options, $what, $size, LOCAL_TURNS, {});
        my @gaps = take_turns($rounds, @ours, [ "flock, $what", Bench::Flock->new($size) ]);

        row_of_ratios('  graceful to flock', $gaps[0], $gaps[-1]);
        row_of_ratios('  graceful to the other build', $gaps[0], $gaps[1]) if $options->{with};
    }
    print "  flock: the job syncs its state itself; nobody checks, restores or backs it up\n";
    return;
}

# The peer's job has no state at first: what etcdctl takes alone. Then it has one, as graceful's has.
sub run_etcd {
    my ($options) = @_;
    my $rounds = $options->{rounds} // ($options->{quick} ? 20 : 200);

    if (!Graceful::Etcd->installed) {
        print "\netcd and etcdctl are not installed (apt-get install etcd-server etcd-client): no figures of them\n";
        return;
    }
    for my $nodes (1, 3) {
        my $etcd = Graceful::Etcd->start(nodes => $nodes);
        my $more = { coordinator => $etcd->coordinator };

        head($rounds, $nodes == 1 ? 'etcd, 1 node' : "etcd, $nodes nodes");
        my @ours = pairs($options, 'state of 4 KiB', 4096, ETCD_TURNS, $more);
        my @small = ([ 'graceful, state of 64 bytes', Bench::Pair->new(64, ETCD_TURNS, { %$more, namespace => '/small' }) ]);
        my @gaps = take_turns($rounds, @ours, @small, [ 'etcdctl lock, no state', Bench::Etcdctl->new($etcd, 0) ],
            [ 'etcdctl lock, state of 4 KiB', Bench::Etcdctl->new($etcd, 4096) ]);

        row_of_ratios('  graceful, 64 bytes, to etcdctl, none', $gaps[-3], $gaps[-2]);
        row_of_ratios('  graceful, 4 KiB, to etcdctl, none', $gaps[0], $gaps[-2]);
        row_of_ratios('  graceful, 4 KiB, to etcdctl, 4 KiB', $gaps[0], $gaps[-1]);
        row_of_ratios('  graceful to the other build', $gaps[0], $gaps[1]) if $options->{with};
    }
    print "  graceful commits the state to etcd; under etcdctl lock the job leaves it in a file of this machine\n";
    return;
}

1;
