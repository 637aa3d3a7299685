package Graceful::Chaos::Verdict;

# What must hold, whatever happened, read from what cannot be argued with: the jobs' own journals, and etcd's whole history.
#
#   my $verdict = Graceful::Chaos::Verdict->new(cluster => $cluster, faults => [ $faults->log ], history => [...], when => {...});
#   $verdict->violations;    # lines of text
#   $verdict->accounts;      # of each gap between two lives: see Gaps.pm
#
# Rules: (a) no two lives of a job overlap; (b) only the owner of the moment commits, and epochs only rise; (c) each event is counted
# once in the final state; (d) a gap between two lives is short, or can be accounted for (Gaps.pm): nobody waits for a lease because a
# single process died, and a lock that is free is taken at once. A machine that was suspended as a whole cannot know of its end until it
# wakes: what its jobs do then is measured, and must not last. By how much the whole computer was late (Pulse.pm) is added to each time
# that is allowed.

use strict;
use warnings;

use List::Util qw(max min sum0);
use Time::HiRes qw(time);

use Graceful::Chaos::Farewells;
use Graceful::Chaos::Gaps;
use Graceful::Chaos::History;
use Graceful::Chaos::Leaders;
use Graceful::Test qw(slurp);

use constant WAKE => 1;    # a job of a machine that wakes is gone by then

sub new {
    my ($class, %with) = @_;
    my $self = bless({ %with, violations => [], accounts => [], overlaps => [], margins => [], takings => [] }, $class);

    $self->{released} = { map { job_of($_) . " $_->{released}" => 1 } grep { defined $_->{released} } @{ $self->{history} } };
    $self->{gaps} = Graceful::Chaos::Gaps->new($self->facts);
    $self->{lives} = { map { $_ => [ $self->lives_of($_) ] } $self->{cluster}->jobs };
    $self->check_job($_) for $self->{cluster}->jobs;
    $self->check_history;
    $self->note_takings($_) for $self->{cluster}->jobs;
    return $self;
}

sub violations { return @{ $_[0]{violations} } }
sub accounts { return @{ $_[0]{accounts} } }
sub lives { my ($self, $job) = @_; return @{ $self->{lives}{$job} } }
sub violate { my ($self, $text) = @_; push @{ $self->{violations} }, $text; return }

# What the account of the gaps is made from. (The runner lets no clock jump.)
sub facts {
    my ($self) = @_;
    my $cluster = $self->{cluster};
    my $offset = $cluster->now - time;
    my $leaders = Graceful::Chaos::Leaders->new(logs => [ map { $cluster->etcd->log_text($_) } $cluster->nodes ],
        offset => $offset, faults => $self->{faults});

    return (
        ttl => $cluster->{ttl}, machines => [ $cluster->machines ], faults => $self->{faults}, renewals => { $cluster->wire->renewals },
        places => { Graceful::Chaos::History::places($self->{history}, $self->{when}) },
        stored => { map { job_of($_) => 1 } grep { $_->{record} && $_->{record}{url} } @{ $self->{history} } },
        farewells => [ map { Graceful::Chaos::Farewells::read_log($cluster->log_text($_), $offset) } $cluster->machines ],
        slack => $self->{slack}, elections => [ $leaders->elections ], leaderless => [ $leaders->leaderless ], late => sub { $cluster->pulse->late(@_) },
    );
}

# ---- Journals ----

sub parse {
    my ($path) = @_;
    my ($epoch, $pid) = $path =~ /\.(\d+)\.(\d+)\z/;
    my %life = (epoch => $epoch, pid => $pid, dumps => [], broken => [], path => $path);

    open(my $in, '<', $path) or return;
    while (my $line = <$in>) {
        my ($time, $kind, @rest) = split(' ', $line);
        next if !defined $kind;
        $life{from} //= $time;
        $life{to} = $time;
        @life{qw(restored start by)} = @rest[ 1 .. 3 ] if $kind eq 'start';
        push @{ $life{dumps} }, $time if $kind eq 'save' || $kind eq 'dump';
        $life{dumped} = $rest[0] if $kind eq 'dump';
        push @{ $life{broken} }, "@rest" if $kind eq 'broken';
    }
    return $life{from} ? \%life : ();
}

# In the order in which they began. A child is part of its parent's life: it ends with that, or later.
sub lives_of {
    my ($self, $job) = @_;
    my @all = sort { $a->{from} <=> $b->{from} } map { parse($_) } glob($self->{cluster}->box->path("journals/$job.*"));
    my @lives = grep { defined $_->{start} } @all;

    for my $child (grep { !defined $_->{start} } @all) {
        my ($of) = grep { $_->{epoch} == $child->{epoch} && $_->{from} <= $child->{from} } reverse @lives;
        $of->{to} = max($of->{to}, $child->{to}) if $of;
    }
    return @lives;
}

# ---- Faults ----

sub faults_between {
    my ($self, $from, $to) = @_;
    return grep { $_->{from} <= $to && $_->{to} >= $from } @{ $self->{faults} };
}

# Whether more than one process was hit: by one fault, or by two that met. With the time in which a lease that was lost ends.
sub is_large {
    my ($self, $from, $to) = @_;
    my @near = $self->faults_between($from - $self->{cluster}{ttl} - 2, $to);

    return 1 if grep { $_->{large} } @near;
    # Master and worker of one machine: nobody is left there to keep the lease.
    for my $fault (grep { $_->{kind} eq 'kill master' } @near) {
        return 1 if grep { $_ != $fault && abs($_->{from} - $fault->{from}) < 3 } @near;
    }
    return 0;
}

sub was_suspended {
    my ($self, $life) = @_;
    return scalar grep { $_->{kind} eq 'suspend machine' && $_->{machine} eq $life->{by} && $_->{to} >= $life->{from} && $_->{from} <= $life->{to} }
        @{ $self->{faults} };
}

# ---- One job ----

sub check_job {
    my ($self, $job) = @_;
    my @lives = @{ $self->{lives}{$job} };

    $self->violate("$job: $_->[1] of $_->[0]{path}") for map { my $life = $_; map { [ $life, $_ ] } @{ $life->{broken} } } @lives;
    for my $i (1 .. $#lives) {
        my ($old, $new) = @lives[ $i - 1, $i ];

        $self->check_overlap($job, $_, $new) for grep { $_->{to} > $new->{from} } @lives[ 0 .. $i - 1 ];
        $self->check_order($job, $old, $new);
        $self->note_margin($job, $old, $new);
        $self->check_gap($job, $old, $new) if $old->{to} <= $new->{from};
    }
    $self->check_end($job);
    return;
}

sub check_overlap {
    my ($self, $job, $old, $new) = @_;
    my $time = $old->{to} - $new->{from};
    my $woke = $self->was_suspended($old);

    push @{ $self->{overlaps} }, $self->woke_for($old) if $woke;
    return if $woke && $self->woke_for($old) < WAKE;
    $self->violate(sprintf('%s: two copies ran for %.3f s: epoch %d (pid %d at %s) until %.3f, epoch %d (pid %d at %s) from %.3f',
        $job, $time, @{$old}{qw(epoch pid by to)}, @{$new}{qw(epoch pid by from)}));
    return;
}

# How long it went on after it woke.
sub woke_for {
    my ($self, $life) = @_;
    my @wakes = map { $_->{to} } grep { $_->{kind} eq 'suspend machine' && $_->{machine} eq $life->{by} && $_->{to} <= $life->{to} + 0.1 } @{ $self->{faults} };

    return @wakes ? $life->{to} - max(@wakes) - $self->{cluster}->pulse->late(max(@wakes), $life->{to}) : 1e9;
}

sub check_order {
    my ($self, $job, $old, $new) = @_;

    $self->violate("$job: epoch $new->{epoch} began after epoch $old->{epoch}") if $new->{epoch} < $old->{epoch};
    $self->violate("$job: epoch $new->{epoch} went back to event $new->{start}, epoch $old->{epoch} had begun with $old->{start}")
        if $new->{start} < $old->{start};
    return if !defined $old->{dumped} || $new->{start} >= $old->{dumped} || $self->is_large($old->{to}, $new->{from});
    $self->violate("$job: epoch $old->{epoch} dumped event $old->{dumped}, and epoch $new->{epoch} went on from $new->{start}");
    return;
}

# A lease that was lost: by how much the last sign of life of its owner came before the next owner's job. What a commit releases is not.
sub note_margin {
    my ($self, $job, $old, $new) = @_;

    return if $new->{epoch} == $old->{epoch} || $self->{released}{"$job $old->{epoch}"} || $self->was_suspended($old);
    push @{ $self->{margins} }, $new->{from} - $old->{to};
    return;
}

sub check_gap {
    my ($self, $job, $old, $new) = @_;
    my %gap = (job => $job, from => $old->{to}, to => $new->{from}, old => { %{$old}{qw(epoch pid by)} }, new => { %{$new}{qw(epoch pid by)} },
        length => $new->{from} - $old->{to}, large => $self->is_large($old->{to}, $new->{from}), handover => $new->{epoch} != $old->{epoch});
    my $account = $self->{gaps}->account(\%gap);

    push @{ $self->{accounts} }, $account;
    $self->violate($_) for @{ $account->{violations} };
    return;
}

# ---- The end ----

sub check_end {
    my ($self, $job) = @_;
    my ($record, $state) = $self->{cluster}->committed($job);
    my $fed = $self->{cluster}->fed;

    return $self->violate("$job: there is no committed state that can be read") if !$state;
    $self->violate("$job: $state->{to} events of $fed are in the final state") if $state->{to} != $fed;
    $self->violate("$job: their sum is $state->{sum}") if $state->{sum} != $fed * ($fed + 1) / 2;
    $self->violate("$job: the final state is not marked clean") if !$record->{clean};
    $self->check_line($job, @{ $state->{line} });
    return;
}

# Each event was counted under one epoch, and none under an old one after a newer one.
sub check_line {
    my ($self, $job, @line) = @_;
    my ($to, $epoch) = (0, 0);

    for (@line) {
        $self->violate("$job: epoch $_->[0] counted events after epoch $epoch") if $_->[0] <= $epoch;
        $self->violate("$job: epoch $_->[0] counted from $_->[1], the one before to $to") if $_->[1] != $to + 1;
        ($epoch, undef, $to) = @{$_};
    }
    return;
}

# ---- etcd's history: each change of a key in the order in which it happened ----

sub job_of { my ($change) = @_; return $change->{key} =~ m{/jobs/([^/]+)/} ? $1 : '' }

sub check_history {
    my ($self) = @_;
    my (%queue, %last);

    for my $change (@{ $self->{history} }) {
        my ($job, $what) = $change->{key} =~ m{/jobs/([^/]+)/(lock/|state\z)} or next;

        if ($what eq 'lock/') {
            $change->{deleted} ? delete $queue{$job}{ $change->{key} } : ($queue{$job}{ $change->{key} } = $change->{created});
            next;
        }
        $self->{commits}++;
        $self->check_commit($job, $change, $queue{$job}, $last{$job}) if !$change->{deleted};
        $last{$job} = $change->{record};
    }
    return;
}

# A commit that releases deletes the lock in the same transaction, and etcd tells the two in the order of their keys or requests.
sub check_commit {
    my ($self, $job, $change, $queue, $last) = @_;
    my $epoch = $change->{record}{epoch};
    my $owner = min(values %{$queue}, grep { defined } $change->{released});

    $self->violate("$job: epoch $epoch committed at revision $change->{revision}, when epoch " . ($owner // 'none') . ' owned it')
        if !defined $owner || $owner != $epoch;
    return if !$last;
    $self->violate("$job: epoch $epoch committed after epoch $last->{epoch}") if $epoch < $last->{epoch};
    $self->violate("$job: seq $change->{record}{seq} committed after seq $last->{seq}") if $change->{record}{seq} <= $last->{seq};
    return;
}

# ---- From a free lock to the job ----

# When everybody who was ahead of an epoch in the queue had gone, and it had come itself; nothing if nobody saw that.
sub free_at {
    my ($self, $job, $epoch) = @_;
    my %ahead;

    for my $change (grep { job_of($_) eq $job && $_->{key} =~ m{/lock/} } @{ $self->{history} }) {
        if (!$change->{deleted}) {
            $ahead{ $change->{key} } //= $change->{created} if $change->{created} <= $epoch;
        } elsif ($ahead{ $change->{key} } && $ahead{ $change->{key} } != $epoch) {
            $ahead{ $change->{key} } = $change->{revision};
        }
    }
    return max(grep { defined } map { $self->{when}{$_} } values %ahead);
}

sub note_takings {
    my ($self, $job) = @_;
    my %seen;

    for my $life (grep { !$seen{ $_->{epoch} }++ } $self->lives($job)) {
        my $free = $self->free_at($job, $life->{epoch}) // next;
        push @{ $self->{takings} }, $life->{from} - $free;
    }
    return;
}

# ---- In numbers ----

sub percentile {
    my ($share, @sorted) = @_;
    return @sorted ? $sorted[ min($#sorted, int($share * @sorted)) ] : 0;
}

sub describe {
    my @sorted = sort { $a <=> $b } @_;
    return sprintf('%d, p50 %.3f s, p99 %.3f s, max %.3f s', scalar @sorted, percentile(0.5, @sorted), percentile(0.99, @sorted),
        $sorted[-1] // 0);
}

sub gaps { return map { $_->{gap} } $_[0]->accounts }
sub describe_gaps { my ($self, $large) = @_; return describe(map { $_->{length} } grep { !$_->{large} == !$large } $self->gaps) }
sub describe_takings { my ($self) = @_; return describe(@{ $self->{takings} }) }

# The fence: a job is gone before the lease of its owner can end. What is left of that is more than nothing.
sub describe_margin {
    my ($self) = @_;
    my @sorted = sort { $a <=> $b } @{ $self->{margins} };

    return @sorted ? sprintf('%d, least %.3f s, p50 %.3f s', scalar @sorted, $sorted[0], percentile(0.5, @sorted)) : 'none';
}

sub describe_overlaps {
    my ($self) = @_;
    my @sorted = sort { $a <=> $b } @{ $self->{overlaps} };

    return @sorted ? sprintf('%d, longest after the wake-up %.3f s', scalar @sorted, $sorted[-1]) : 'none';
}

# Lines of a table: what the long gaps were made of.
sub causes {
    my ($self) = @_;
    my @long = grep { @{ $_->{pieces} } } $self->accounts;

    return if !@long;
    return (
        sprintf('%-75s %6s %9s %8s', 'gaps of more than a second, made of', 'gaps', 'in all', 'max'),
        (map { sprintf('  %-73s %6d %7.2f s %6.2f s', @{$_}) } $self->{gaps}->table(@long)),
    );
}

sub evidence {
    my ($self) = @_;
    my %facts = %{ $self->{gaps} };

    delete $facts{late};
    return { %facts, accounts => [ $self->accounts ] };
}

# One line a long gap.
sub details { my ($self) = @_; return map { $self->{gaps}->describe($_) } grep { @{ $_->{pieces} } } $self->accounts }

sub handovers { return scalar grep { $_->{handover} } $_[0]->gaps }
sub commits { return $_[0]{commits} // 0 }
sub starts { return sum0(map { scalar @{$_} } values %{ $_[0]{lives} }) }

1;
