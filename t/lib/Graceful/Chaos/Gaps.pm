package Graceful::Chaos::Gaps;

# Why nobody ran: takes each long gap between two runs of a job apart, into pieces that each have a cause. No I/O: facts in, pieces out.
#
#   my $gaps = Graceful::Chaos::Gaps->new(ttl => 10, machines => [...], faults => [...], places => { j1 => [...] }, renewals => {...},
#       elections => [...], leaderless => [...], stored => { j1 => 1 }, farewells => [...],
#       late => sub { my ($from, $to) = @_; ... });
#   my $account = $gaps->account({ job => 'j1', from => 3.1, to => 8.2, old => { epoch, pid }, new => { epoch } });
#   # { gap, pieces => [ { cause, from, to, why, head (the place in the queue) }, ... ], ours (seconds), violations => [ text, ... ] }
#   $gaps->describe($account);  # in a line
#   $gaps->table(@accounts);    # [ cause, in how many gaps, seconds in all, in one gap at most ]
#
# The facts: faults as Faults.pm logs them; places and renewals as History.pm and Wire.pm tell them; elections and leaderless of
# Leaders.pm; stored are jobs with states that are files of their own; farewells of Farewells.pm; late() says by how much the whole
# computer was late between two moments, which is allowed on top; slack, if given, how much more may have no cause.
#
# At each moment it is the turn of the first in the queue for the lock (its "head"): to end its tenure, or to start the job. What kept it
# from that is the cause of that moment. It must be about that very process, machine or etcd node, and it ends with the fault, or when the
# program must have got over it. A moment without such a cause is ours, and all of ours in a gap must stay under a second. A lease that
# runs out has a bound of its own: from when it was last renewed, or started anew by a new leader of etcd.

use strict;
use warnings;

use List::Util qw(max min sum0);

use constant FOREVER => 1e12;

# Of the program: what the sources of graceful say.
use constant LONG => 1;           # a shorter gap needs no account; and so much of a gap may have no other cause
use constant START => 1;          # a master that was started is up, and its workers have asked for a place in the queue
use constant RESCUE => 3;         # the death of a worker is dealt with by then
use constant PAUSE_MAX => 5;      # between two attempts, after many: coord/etcd_ask.c, policy/life_start.c, life_end.c
use constant ATTEMPT => 1;        # at a node that does not answer, before the next one is asked
use constant SLOW_MAX => 4;       # a hand-over's few requests, of which each may take an attempt or two

# Of etcd: measured, and read in its sources.
use constant LAPSE => 1;          # from the end of a lease until its key is gone
use constant EXTENSION => 2;      # a new leader adds an election time-out, from when it has committed something
use constant REVOKE_AGAIN => 4;   # a revocation that did not get through is tried again after three seconds

my @causes = (
    [ job => 'the job itself was suspended' ],
    [ leaderless => 'etcd without a leader' ],
    [ owner => 'the lease of an owner that was lost ran out' ],
    [ waiter => 'the lease of a waiter that was lost, and that was next, ran out' ],
    [ left => 'the lease of one that etcd did not answer until it had to give up ran out' ],
    [ away => 'the machine of the one whose turn it was was cut off or suspended' ],
    [ back => 'the machine was back, and had to ask anew' ],
    [ process => 'the worker whose turn it was, or the master that had to rescue it, was suspended' ],
    [ disk => 'the disk was full' ],
    [ silent => 'an etcd node that was asked did not answer' ],
    [ slow => 'the network, or an etcd node that was asked, was slow' ],
    [ after => 'etcd had a leader again, and had to be asked anew' ],
    [ machines => 'no machine could ask for the lock' ],
    [ ours => 'without a cause' ],
);
my %text = map { @{$_} } @causes;

sub new {
    my ($class, %facts) = @_;
    return bless({ late => sub { 0 }, renewals => {}, elections => [], leaderless => [], stored => {}, farewells => [], %facts }, $class);
}

sub account {
    my ($self, $gap) = @_;
    my %account = (gap => $gap, pieces => [], ours => 0, violations => []);

    return \%account if $gap->{to} - $gap->{from} <= LONG;
    $account{pieces} = [ map { $self->pieces_of($gap, $_) } $self->spans($gap) ];
    merge($account{pieces});
    $self->judge(\%account);
    return \%account;
}

# ---- The queue ----

# The head of the queue, from when to when; undef while there is nobody in it.
sub spans {
    my ($self, $gap) = @_;
    my @places = @{ $self->{places}{ $gap->{job} } // [] };
    my @times = cuts($gap->{from}, $gap->{to}, map { ($_->{from}, $_->{to} // FOREVER) } @places);

    return map {
        my $middle = ($times[ $_ - 1 ] + $times[$_]) / 2;
        my ($head) = sort { $a->{epoch} <=> $b->{epoch} } grep { $_->{from} <= $middle && $middle < ($_->{to} // FOREVER) } @places;
        +{ from => $times[ $_ - 1 ], to => $times[$_], head => $head };
    } 1 .. $#times;
}

# Both, and what is between them, in order.
sub cuts {
    my ($from, $to, @times) = @_;
    my %seen;

    return grep { !$seen{$_}++ } $from, (sort { $a <=> $b } grep { $from < $_ && $_ < $to } @times), $to;
}

sub pieces_of {
    my ($self, $gap, $span) = @_;
    my $head = $span->{head};
    my @windows = $head ? $self->windows_of($gap, $head) : $self->windows_of_nobody($gap);
    my @times = cuts(@{$span}{qw(from to)}, map { ($_->{from}, $_->{to}) } @windows);

    return map {
        my ($from, $to) = @times[ $_ - 1, $_ ];
        my $window = cover(($from + $to) / 2, @windows) // { cause => 'ours', why => $head ? doing($gap, $head) : 'nobody was in the queue' };
        +{ %{$window}{qw(cause why since)}, from => $from, to => $to, head => $head };
    } 1 .. $#times;
}

sub cover {
    my ($at, @windows) = @_;
    my ($first) = grep { $_->{from} <= $at && $at < $_->{to} } @windows;
    return $first;
}

sub doing {
    my ($gap, $head) = @_;
    my ($was, $will) = map { $head->{epoch} == $gap->{$_}{epoch} } qw(old new);
    my $what = $was && $will ? 'start the job again' : $will ? 'start the job' : $was ? 'release the lock' : 'take the lock or to leave';

    return "$head->{machine} had to $what";
}

sub merge {
    my ($pieces) = @_;
    my @merged;

    for my $piece (@{$pieces}) {
        my $last = $merged[-1];
        if ($last && $last->{cause} eq $piece->{cause} && ($last->{head} // 0) == ($piece->{head} // 0)) {
            @{$last}{qw(to since)} = @{$piece}{qw(to since)};
            $last->{why} .= ", $piece->{why}" if index($last->{why}, $piece->{why}) < 0;
        } else {
            push @merged, $piece;
        }
    }
    @{$pieces} = @merged;
    return;
}

# ---- What kept the head from it: the first window that covers a moment is its cause ----

# since: when nobody could keep the lease any more.
sub window {
    my ($cause, $from, $to, $why, $since) = @_;
    return { cause => $cause, from => $from, to => $to, why => $why, since => $since };
}

sub faults { my ($self, $kinds, $is) = @_; return grep { $_->{kind} =~ /^(?:$kinds)\z/ && (!$is || $is->($_)) } @{ $self->{faults} } }
sub hit { my ($fault, $pid) = @_; return scalar grep { $_ == $pid } @{ $fault->{pids} // [] } }

# Pauses between attempts grow with the time for which they failed.
sub over_it { my ($from, $to) = @_; return $to + ATTEMPT + min(PAUSE_MAX, $to - $from) }

sub windows_of {
    my ($self, $gap, $head) = @_;
    my @leaderless = $self->leaderless_windows;
    my @unheard = ($self->away_windows($head), $self->slow_windows($head->{machine}, $head), $self->after_windows);

    return (
        $self->job_windows($gap, $head), @leaderless, $self->lost_windows($gap, $head), $self->left_windows($head, @leaderless, @unheard),
        $self->process_windows($head), $self->disk_windows($gap, $head), @unheard,
    );
}

# A worker that cannot reach etcd until it has no more time has to leave its place to its time-out. One that can must not.
sub left_windows {
    my ($self, $head, @reasons) = @_;
    my @left = grep { $_->{pid} == $head->{pid} && $_->{at} >= $head->{from} && cover($_->{at}, @reasons) } @{ $self->{farewells} };

    return map { window('left', $_->{at}, FOREVER, sprintf('%s, given up at %.2f', $head->{machine}, $_->{at}), $_->{at}) } @left;
}

# It was silent before it was dead.
sub job_windows {
    my ($self, $gap, $head) = @_;

    return if $head->{epoch} != $gap->{old}{epoch};
    return map { window('job', $_->{from}, $_->{to}, 'stop job') } $self->faults('stop job', sub { hit($_[0], $gap->{old}{pid} // 0) });
}

sub leaderless_windows {
    my ($self) = @_;
    return map { window('leaderless', @{$_}, 'no leader') } @{ $self->{leaderless} };
}

sub after_windows {
    my ($self) = @_;
    return map { window('after', $_->[1], over_it(@{$_}), sprintf('without one for %.1f s', $_->[1] - $_->[0])) } @{ $self->{leaderless} };
}

# Nobody is left who could give the place back: its lease has to end.
sub lost_at {
    my ($self, $head) = @_;
    my $mine = sub { $_[0]{machine} eq $head->{machine} && ($_[0]{from} >= $head->{from} || hit($_[0], $head->{pid})) };
    my @lost = map { $_->{from} } $self->faults('kill machine', $mine);
    my @worker = $self->faults('kill worker|kill standby', sub { hit($_[0], $head->{pid}) });

    for my $master ($self->faults('kill master', $mine)) {
        push @lost, map { max($_->{from}, $master->{from}) } grep { $_->{from} > $master->{from} - RESCUE } @worker;
    }
    return min(@lost);
}

sub lost_windows {
    my ($self, $gap, $head) = @_;
    my $lost = $self->lost_at($head) // return;

    return window($head->{epoch} == $gap->{old}{epoch} ? 'owner' : 'waiter', $lost, FOREVER,
        sprintf('%s, lost at %.2f', $head->{machine}, $lost), $lost);
}

# A lease may end meanwhile, too. A master that was started later is not suspended, nor is what it started.
sub away_windows {
    my ($self, $head) = @_;
    my $is = sub {
        my ($fault) = @_;
        return 0 if $fault->{machine} ne $head->{machine};
        return $fault->{kind} eq 'cut machine' || !defined $head->{pid} || $head->{from} <= $fault->{from} || hit($fault, $head->{pid});
    };
    my @faults = $self->faults('cut machine|suspend machine', $is);

    # While it is away once more, it is not back.
    return (
        (map { window('away', $_->{from}, $_->{to}, "$_->{kind} $_->{machine}", $_->{from}) } @faults),
        (map { window('back', $_->{to}, over_it($_->{from}, $_->{to}), "after $_->{kind} $_->{machine}") } @faults),
    );
}

# A worker that hangs is killed by its master before its lease ends. A master matters only to a worker that died.
sub process_windows {
    my ($self, $head) = @_;
    my @died = $self->faults('kill worker|kill standby', sub { hit($_[0], $head->{pid}) });
    my @hangs = $self->faults('stop worker|hang worker', sub { hit($_[0], $head->{pid}) });
    my $needed = sub { my ($f) = @_; return $f->{machine} eq $head->{machine} && grep { $_->{from} <= $f->{to} } @died, @hangs };

    return map { window('process', $_->{from}, min($_->{to}, $_->{from} + $self->{ttl}) + START, "$_->{kind} at $_->{machine}") }
        @hangs, $self->faults('stop master', $needed);
}

# Only the last state of an owner has to be written before anybody goes on, if it does not fit into the record.
sub disk_windows {
    my ($self, $gap, $head) = @_;

    return if $head->{epoch} != $gap->{old}{epoch} || !$self->{stored}{ $gap->{job} };
    return map {
        my ($from, $to) = @{$_}{qw(from to)};
        window('disk', $from, over_it(max($from, min($gap->{from}, $to)), $to), 'fill disk');
    } $self->faults('fill disk');
}

# A node that does not answer is left after an attempt; that it does not is noticed at the next renewal at the latest, and at once if it
# is dead.
sub slow_windows {
    my ($self, $machine, $head) = @_;
    my $notice = $self->{ttl} / 3 + 2 * ATTEMPT;
    my $asked = sub { my ($f) = @_; return $self->asks($head, $f) };
    my @dead = $self->faults('kill node', $asked);
    my @silent = $self->faults('stop node|isolate node', $asked);
    my @wires = $self->faults('slow machine', sub { $_[0]{machine} eq $machine });

    return (
        (map { window('slow', $_->{from}, $_->{to} + ATTEMPT, "$_->{kind} $machine") } @wires),
        (map { window('slow', $_->{from}, $_->{to} + ATTEMPT, "$_->{kind} n$_->{node}") } $self->faults('slow node', $asked)),
        (map { window('silent', $_->{from}, $_->{from} + 2 * ATTEMPT, "$_->{kind} n$_->{node}") } @dead),
        (map { window('silent', $_->{from}, min($_->{to}, $_->{from} + $notice) + ATTEMPT, "$_->{kind} n$_->{node}") } @silent),
    );
}

# Whether the head has to do with the node: it asks there, or may, or the node leads.
sub asks {
    my ($self, $head, $fault) = @_;
    my ($leader) = map { $_->[1] } grep { $_->[0] <= $fault->{from} } reverse @{ $self->{elections} };
    my @renewals = $head ? @{ $self->{renewals}{ $head->{lease} } // [] } : ();
    my @before = grep { $_->[0] <= $fault->{from} } @renewals;
    my @during = grep { $_->[0] > $fault->{from} && $_->[0] < $fault->{to} } @renewals;

    return 1 if !@before || (defined $leader && $leader == $fault->{node});
    return scalar grep { $_->[1] == $fault->{node} } $before[-1], @during;
}

# ---- Nobody in the queue ----

# Somebody should have been, unless each machine had a reason.
sub windows_of_nobody {
    my ($self, $gap) = @_;
    my %windows = map { $_ => [ $self->idle_windows($gap, $_) ] } @{ $self->{machines} };
    my @times = cuts(@{$gap}{qw(from to)}, map { ($_->{from}, $_->{to}) } map { @{$_} } values %windows);
    my @nobody;

    for my $i (1 .. $#times) {
        my $middle = ($times[ $i - 1 ] + $times[$i]) / 2;
        my @reasons = map { cover($middle, @{ $windows{$_} }) // () } @{ $self->{machines} };
        push @nobody, window('machines', @times[ $i - 1, $i ], join(', ', map { $_->{why} } @reasons)) if @reasons == @{ $self->{machines} };
    }
    return ($self->leaderless_windows, @nobody);
}

# Where its worker asks shows in the last place that it had.
sub idle_windows {
    my ($self, $gap, $machine) = @_;
    my $mine = sub { $_[0]{machine} eq $machine };
    my ($place) = grep { $mine->($_) && $_->{from} <= $gap->{to} } reverse @{ $self->{places}{ $gap->{job} } // [] };

    return (
        (map { window('machines', $_->{from}, $_->{to} + START, "$machine $_->{kind}") }
            $self->faults('kill machine|kill master|graceful stop|drain|stop master', $mine)),
        $self->away_windows({ machine => $machine }), $self->slow_windows($machine, $place), $self->after_windows,
    );
}

# ---- Bounds ----

# By then etcd must have ended the lease of a place that nobody could keep any more. Renewals that are not on record may have come until
# then.
sub lease_end {
    my ($self, $head, $since) = @_;
    my $gone = $head->{to} // FOREVER;
    my @sent = grep { $self->was_sent($head, $since, $_->[0]) } @{ $self->{renewals}{ $head->{lease} } // [ [ $since, -1 ] ] };
    my @starts = ((map { $self->arrived($_) } @sent), map { $_->[0] + EXTENSION } @{ $self->{elections} });
    my $end = max($head->{from}, grep { $_ <= $gone } @starts) + $self->{ttl} + LAPSE;

    $end += REVOKE_AGAIN if $self->was_hindered($end - LAPSE, $gone);
    return $end + $self->{late}->($end, $gone);
}

# A renewal that passed later was sent before only if the network held it back. Otherwise somebody kept the lease after all.
sub was_sent {
    my ($self, $head, $since, $at) = @_;

    return 1 if $at <= $since + ATTEMPT;
    return scalar $self->faults('(?:cut|slow) machine', sub {
        my ($fault) = @_;
        return $fault->{machine} eq $head->{machine} && $fault->{from} <= $since && abs($at - $fault->{to}) <= ATTEMPT;
    });
}

# Whether a revocation may not have got through.
sub was_hindered {
    my ($self, $from, $to) = @_;

    return 1 if grep { $_->[0] <= $to && $_->[1] >= $from } @{ $self->{leaderless} };
    return scalar $self->faults('slow node', sub { $_[0]{from} <= $to && $_[0]{to} >= $from });
}

# What waits at a node that is stopped is read when that goes on.
sub arrived {
    my ($self, $renewal) = @_;
    my ($at, $node) = @{$renewal};

    return max($at, map { $_->{to} } $self->faults('(?:stop|slow) node', sub {
        my ($fault) = @_;
        return $fault->{node} == $node && $fault->{from} <= $at && $at < $fault->{to};
    }));
}

# Until when a piece may last.
sub end_of {
    my ($self, $piece) = @_;

    return $self->lease_end(@{$piece}{qw(head since)}) if $piece->{cause} =~ /^(?:owner|waiter|left|away)\z/;
    return $piece->{from} + SLOW_MAX + $self->late($piece) if $piece->{cause} eq 'slow';
    return FOREVER;
}

sub late { my ($self, $piece) = @_; return $self->{late}->(@{$piece}{qw(from to)}) }
sub length_of { my ($piece) = @_; return $piece->{to} - $piece->{from} }

sub judge {
    my ($self, $account) = @_;
    my @ours = grep { $_->{cause} eq 'ours' } @{ $account->{pieces} };

    for my $piece (@{ $account->{pieces} }) {
        my $beyond = $piece->{to} - $self->end_of($piece);
        $self->violate($account, sprintf('%s for %.2f s longer than it may', $text{ $piece->{cause} }, $beyond)) if $beyond > 0;
    }
    $account->{ours} = sum0(map { length_of($_) } @ours);
    my $allowed = LONG + ($self->{slack} // 0) + sum0(map { $self->late($_) } @ours);
    $self->violate($account, sprintf('%.2f s without a cause', $account->{ours})) if $account->{ours} > $allowed;
    return;
}

# ---- In words ----

sub describe {
    my ($self, $account) = @_;
    my $gap = $account->{gap};
    my @pieces = map { sprintf('%.2f s %s (%s)', length_of($_), $text{ $_->{cause} }, $_->{why}) }
        grep { length_of($_) >= 0.005 } @{ $account->{pieces} };

    return sprintf('%s, from %.2f to %.2f, epoch %d to %d: ', @{$gap}{qw(job from to)}, map { $gap->{$_}{epoch} } qw(old new)) . join('; ', @pieces);
}

sub violate {
    my ($self, $account, $what) = @_;

    push @{ $account->{violations} }, "gap not accounted for: $what: " . $self->describe($account);
    return;
}

# Of each cause that there was: its text, how many gaps it was in, the seconds in all, and in one gap at most.
sub table {
    my ($self, @accounts) = @_;
    my (%seconds, @table);

    for my $account (@accounts) {
        my %here;
        $here{ $_->{cause} } += length_of($_) for @{ $account->{pieces} };
        push @{ $seconds{$_} }, $here{$_} for keys %here;
    }
    for my $cause (grep { $seconds{ $_->[0] } } @causes) {
        my @times = @{ $seconds{ $cause->[0] } };
        push @table, [ $cause->[1], scalar @times, sum0(@times), max(@times) ];
    }
    return @table;
}

1;
