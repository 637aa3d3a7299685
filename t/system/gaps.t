#!/usr/bin/perl
# How the chaos runner accounts for gaps between two runs of a job (t/lib/Graceful/Chaos/Gaps.pm), with histories that are written down
# here: each cause explains its time, and with that one fact taken away the same gap is a violation.
use strict;
use warnings;

use FindBin;
use IO::Handle;
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(encode_base64);
use Test::More;

use Graceful::Chaos::Farewells;
use Graceful::Chaos::Faults;
use Graceful::Chaos::Gaps;
use Graceful::Chaos::History;
use Graceful::Chaos::Leaders;
use Graceful::Chaos::Wire;

# In all of them the job j ran at m1 under epoch 5 until 100. Leases last for 10 s; node 0 leads.
my %world = (ttl => 10, machines => [qw(m1 m2 m3)], elections => [ [ 1, 0 ] ]);

sub place {
    my ($machine, $epoch, $from, $to) = @_;
    return { machine => $machine, epoch => $epoch, pid => 1000 + $epoch, lease => "l$epoch", from => $from, to => $to };
}

sub fault {
    my ($kind, $from, $to, %on) = @_;
    return { kind => $kind, from => $from, to => $to, machine => '-', node => -1, %on };
}

sub gap {
    my ($to, $epoch) = @_;
    return { job => 'j', from => 100, to => $to, old => { epoch => 5, pid => 500 }, new => { epoch => $epoch } };
}

# %case: until (100 is when the gap began), by (the epoch of the next run), places, and further facts.
sub account_of {
    my (%case) = @_;
    my %facts = map { $_ => $case{$_} } grep { exists $case{$_} } qw(renewals elections leaderless stored farewells late);

    return Graceful::Chaos::Gaps->new(%world, %facts, faults => $case{faults} // [], places => { j => $case{places} })
        ->account(gap($case{until}, $case{by}));
}

# Seconds by cause, of those that are worth a word.
sub seconds_of {
    my ($account) = @_;
    my %seconds;

    $seconds{ $_->{cause} } += $_->{to} - $_->{from} for @{ $account->{pieces} };
    return { map { $_ => sprintf('%.1f', $seconds{$_}) } grep { $seconds{$_} >= 0.05 } keys %seconds };
}

my $m1_killed = fault('kill machine', 100, 101, machine => 'm1', pids => [1005]);
my $m2_killed = fault('kill machine', 99, 101, machine => 'm2', pids => [1006]);
my $m3_cut = fault('cut machine', 99, 110, machine => 'm3');
my $worker_killed = fault('kill worker', 100, 100, machine => 'm1', pids => [1005]);
my $standby_killed = fault('kill standby', 99, 99, machine => 'm2', pids => [1006]);
my $master_killed = fault('kill master', 100.5, 101, machine => 'm1');
my $m1_leaves = fault('graceful stop', 99, 103.5, machine => 'm1');

# m2 waits behind m1, and m3 behind m2; the one before is gone since then.
sub two { my ($gone) = @_; return [ place('m1', 5, 10, $gone), place('m2', 6, 20) ] }
sub three { my ($gone) = @_; return [ place('m1', 5, 10, 100.2), place('m2', 6, 20, $gone), place('m3', 7, 30) ] }

# name, facts, what the seconds are put down to, and what is taken away, or put instead: each of that alone makes it a violation.
my @explained = (
    [
        'the machine of the owner dies', { until => 110, by => 6, places => two(109.8), faults => [$m1_killed] }, { owner => 9.8, ours => 0.2 },
        'without its death' => { faults => [] },
        'another one dies' => { faults => [$m2_killed] },
        'its worker dies alone' => { faults => [$worker_killed] },
    ],
    [
        'master and worker die', { until => 110, by => 6, places => two(109.8), faults => [ $worker_killed, $master_killed ] },
        { owner => 9.3, ours => 0.7 },
        'the worker alone' => { faults => [$worker_killed] },
        'the master alone' => { faults => [$master_killed] },
        'the master long after it' => { faults => [ $worker_killed, fault('kill master', 104, 105, machine => 'm1') ] },
    ],
    [
        'a new leader starts the lease anew',
        { until => 120.2, by => 6, places => two(120), faults => [$m1_killed], elections => [ [ 1, 0 ], [ 107.5, 1 ] ] },
        { owner => 20, ours => 0.2 },
        'there is none' => { elections => [ [ 1, 0 ] ] },
        'it did so earlier' => { elections => [ [ 1, 0 ], [ 105, 1 ] ] },
    ],
    [
        'a renewal comes late', {
            until => 113.2, by => 6, places => two(113), faults => [ $m1_killed, fault('cut machine', 97, 102.4, machine => 'm1') ],
            renewals => { l5 => [ [ 96, 1 ], [ 102.5, 1 ] ] },
        },
        { owner => 13, ours => 0.2 },
        'none does' => { renewals => { l5 => [ [ 96, 1 ] ] } },
        'nothing held it back' => { faults => [$m1_killed] },
    ],
    [
        'a renewal waits at a node', {
            until => 113.2, by => 6, places => two(113), renewals => { l5 => [ [ 99, 1 ] ] },
            faults => [ $m1_killed, fault('stop node', 98, 102.5, node => 1) ],
        },
        { owner => 13, ours => 0.2 },
        'it does not' => { faults => [$m1_killed] },
        'another node is stopped' => { faults => [ $m1_killed, fault('stop node', 98, 102.5, node => 2) ] },
    ],
    [
        'a dead waiter stands before the living one', { until => 109.4, by => 7, places => three(109.2), faults => [$m2_killed] },
        { waiter => 9, ours => 0.4 },
        'it lives' => { faults => [] },
        'its worker died alone' => { faults => [$standby_killed] },
    ],
    [
        'etcd has no leader', { until => 108.3, by => 6, places => two(108.1), leaderless => [ [ 99, 108 ] ] }, { leaderless => 8, after => 0.3 },
        'it has one' => { leaderless => [] },
        'it soon has one again' => { leaderless => [ [ 99, 100.5 ] ] },
    ],
    [
        'an owner cannot reach etcd until it has to give up', {
            until => 109.2, by => 6, places => two(109), leaderless => [ [ 99, 104 ] ], farewells => [ { pid => 1005, job => 'j', at => 103 } ],
            renewals => { l5 => [ [ 98, 0 ] ] },
        },
        { leaderless => 4, left => 5, after => 0.2 },
        'it says nothing of that' => { farewells => [], until => 113.2, places => two(113) },
        'it could reach it' => { leaderless => [] },
        'it gave up later' => { farewells => [ { pid => 1005, job => 'j', at => 112 } ], until => 115.2, places => two(115) },
        'it kept the lease all the same' => { until => 118.2, places => two(118), renewals => { l5 => [ [ 98, 0 ], [ 107, 0 ] ] } },
    ],
    [
        'the machine whose turn it is is cut off',
        { until => 106.4, by => 6, places => two(100.2), faults => [ fault('cut machine', 98, 106, machine => 'm2') ] },
        { away => 5.8, back => 0.4, ours => 0.2 },
        'it is not' => { faults => [] },
        'another one is' => { faults => [$m3_cut] },
        'it was, before' => { faults => [ fault('cut machine', 98, 100.3, machine => 'm2') ] },
    ],
    [
        'it is suspended soon after', {
            until => 106.4, by => 6, places => two(100.2),
            faults => [ fault('cut machine', 96, 101, machine => 'm2'), fault('suspend machine', 101.3, 106, machine => 'm2') ],
        },
        { away => 5.5, back => 0.7, ours => 0.2 },
        'it is not' => { until => 108.4, faults => [ fault('cut machine', 96, 101, machine => 'm2') ] },
    ],
    [
        'the machine of the owner is suspended, and its lease ends',
        { until => 110, by => 6, places => two(109.8), faults => [ fault('suspend machine', 100, 115, machine => 'm1') ] },
        { away => 9.8, ours => 0.2 },
        'it is not' => { faults => [] },
        'only what was there before is' => { until => 112, places => two(111.8), faults => [ fault('suspend machine', 5, 115, machine => 'm1') ] },
        'its lease does not end' => { until => 113, places => two(112.8) },
    ],
    [
        'the worker whose turn it is hangs',
        { until => 108.5, by => 7, places => three(108.2), faults => [ fault('hang worker', 98, 112, machine => 'm2', pids => [1006]) ] },
        { process => 8, ours => 0.5 },
        'it does not' => { faults => [] },
        'another one does' => { faults => [ fault('hang worker', 98, 112, machine => 'm2', pids => [1007]) ] },
        'nobody ends that' => { until => 113, places => three(112) },
    ],
    [
        'the master who has to rescue is suspended',
        { until => 103.2, by => 6, places => two(103), faults => [ $worker_killed, fault('stop master', 99, 102.5, machine => 'm1') ] },
        { process => 3, ours => 0.2 },
        'it is not' => { faults => [$worker_killed] },
        'there is nobody to rescue' => { faults => [ fault('stop master', 99, 102.5, machine => 'm1') ] },
    ],
    [
        'the disk is full at the end',
        { until => 103.2, by => 6, places => two(103), faults => [ fault('fill disk', 99, 102) ], stored => { j => 1 } },
        { disk => 3, ours => 0.2 },
        'nothing has to be written there' => { stored => {} },
        'it is not' => { faults => [] },
        'it was, before' => { faults => [ fault('fill disk', 97, 99) ] },
        'the next owner has nothing to write' => { places => two(100.2) },
    ],
    [
        'the network is slow', { until => 102.5, by => 6, places => two(100.2), faults => [ fault('slow machine', 99, 110, machine => 'm2') ] },
        { slow => 2.3, ours => 0.2 },
        'it is not' => { faults => [] },
        'that of another machine is' => { faults => [ fault('slow machine', 99, 110, machine => 'm3') ] },
        'and takes longer than that' => { until => 105 },
    ],
    [
        'the node that is asked does not answer', {
            until => 104.5, by => 6, places => two(100.2), renewals => { l5 => [ [ 98, 2 ] ], l6 => [ [ 98, 1 ] ] },
            faults => [ fault('stop node', 99, 120, node => 1) ],
        },
        { silent => 4.3, ours => 0.2 },
        'it does' => { faults => [] },
        'another one is asked' => { renewals => { l5 => [ [ 98, 2 ] ], l6 => [ [ 98, 2 ] ] } },
        'nobody notices' => { until => 108 },
        'it is dead, and says so' => { faults => [ fault('kill node', 99, 120, node => 1) ] },
    ],
    [
        'no machine is left that could run it', {
            until => 104.2, by => 9, places => [ place('m1', 5, 10, 100.1), place('m1', 9, 104) ],
            faults => [ $m1_leaves, fault('drain', 99, 110, machine => 'm2'), $m3_cut ],
        },
        { machines => 3.9, ours => 0.3 },
        'm2 could' => { faults => [ $m1_leaves, $m3_cut ] },
        'm1 could' => { until => 107.2, places => [ place('m1', 5, 10, 100.1), place('m1', 9, 107) ] },
    ],
    [
        'the job was suspended before it died',
        { until => 102.4, by => 6, places => two(102.2), faults => [ fault('stop job', 100, 102, pids => [500]) ] },
        { job => 2, ours => 0.4 },
        'it was not' => { faults => [] },
        'another one was' => { faults => [ fault('stop job', 100, 102, pids => [501]) ] },
    ],
    [
        'the whole computer is late', { until => 102.5, by => 6, places => two(100.2), late => sub { 1.6 } }, { ours => 2.5 },
        'it is not' => { late => sub { 0 } },
    ],
);

for my $case (@explained) {
    my ($name, $facts, $seconds, %teeth) = @{$case};

    subtest $name => sub {
        my $account = account_of(%{$facts});
        is_deeply(seconds_of($account), { map { $_ => sprintf('%.1f', $seconds->{$_}) } keys %{$seconds} }, 'its seconds have their causes');
        is_deeply($account->{violations}, [], 'and that is all of them');
        for my $tooth (sort keys %teeth) {
            my ($violation) = @{ account_of(%{$facts}, %{ $teeth{$tooth} })->{violations} };
            like($violation, qr/^gap not accounted for: .*: j, from 100\.00 to /, "$tooth: a violation");
        }
    };
}

# ---- What the program must not do: nothing is wrong around it ----

my @ours = (
    [
        'a waiter is not woken', { until => 103.2, by => 6, places => two(100.2) },
        qr/: 3\.20 s without a cause: .*0\.20 s without a cause \(m1 had to release the lock\); 3\.00 s without a cause \(m2 had to start the job\)/,
    ],
    ['a release forgets', { until => 103.2, by => 6, places => two(103) }, qr/3\.00 s without a cause \(m1 had to release the lock\)/],
    [
        'a rescue does not come', { until => 110, by => 6, places => two(109.8), faults => [$worker_killed] },
        qr/9\.80 s without a cause \(m1 had to release the lock\)/,
    ],
    [
        'nobody asks for the lock', { until => 103.2, by => 6, places => [ place('m1', 5, 10, 100.2), place('m2', 6, 103) ] },
        qr/2\.80 s without a cause \(nobody was in the queue\)/,
    ],
    [
        'the place of a dead waiter is not given back', { until => 103.2, by => 7, places => three(103), faults => [$standby_killed] },
        qr/2\.80 s without a cause \(m2 had to take the lock or to leave\)/,
    ],
    [
        'a restart is forgotten',
        { until => 103.2, by => 5, places => [ place('m1', 5, 10) ], faults => [ fault('kill job', 100, 100, pids => [500]) ] },
        qr/3\.20 s without a cause \(m1 had to start the job again\)/,
    ],
    [
        'several short waits make a long one',
        { until => 101.6, by => 7, places => [ place('m1', 5, 10, 100.5), place('m2', 6, 20, 101), place('m3', 7, 30) ] },
        qr/1\.60 s without a cause/,
    ],
);

for my $case (@ours) {
    my ($name, $facts, $why) = @{$case};
    my ($violation) = @{ account_of(%{$facts})->{violations} };

    like($violation, $why, $name);
}

is_deeply(account_of(until => 100.9, by => 6, places => two(100.5))->{pieces}, [], 'a short gap needs no account');

subtest 'the table' => sub {
    my @accounts = map { account_of(%{ $_->[1] }) } @explained[ 0, 2, 5 ];
    my @table = map { [ @{$_}[ 0, 1 ], map { sprintf('%.1f', $_) } @{$_}[ 2, 3 ] ] } Graceful::Chaos::Gaps->new(%world)->table(@accounts);

    is_deeply(\@table, [
        [ 'the lease of an owner that was lost ran out', 2, '29.8', '20.0' ],
        [ 'the lease of a waiter that was lost, and that was next, ran out', 1, '9.0', '9.0' ],
        [ 'without a cause', 3, '0.8', '0.4' ],
    ], 'says how many gaps each cause was in, for how long in all, and at most');
};

# ---- Where the facts come from ----

sub said {
    my ($second, $text) = @_;
    return sprintf(qq({"level":"info","ts":"2026-11-26T08:42:%06.3fZ","caller":"raft/node.go:327","msg":"%s"}\n), $second, $text);
}

subtest 'leaders, from the logs of the nodes' => sub {
    my $zero = Graceful::Chaos::Leaders::seconds('2026-11-26T08:42:00.000Z');
    my $leaders_with = sub {
        return Graceful::Chaos::Leaders->new(offset => -$zero, faults => [@_], logs => [
            said(1, 'a became leader at term 2') . said(1, 'raft.node: a elected leader a at term 2'),
            said(1.1, 'raft.node: b elected leader a at term 2') .
                said(11.5, 'raft.node: b lost leader a at term 3') . said(12, 'b became leader at term 3') .
                said(12, 'raft.node: b elected leader b at term 3'),
            said(1.2, 'raft.node: c elected leader a at term 2') . said(11.7, 'raft.node: c changed leader from a to b at term 3') . "no JSON\n",
        ]);
    };
    my $rounded = sub { return [ map { [ map { 0 + sprintf('%.2f', $_) } @{$_} ] } @_ ] };

    is_deeply($rounded->($leaders_with->()->elections), [ [ 1, 0 ], [ 12, 1 ] ], 'who was elected when');
    is_deeply($rounded->($leaders_with->()->leaderless), [ [ 1, 1.1 ] ], 'one of three that follows nobody does not matter');
    is_deeply($rounded->($leaders_with->(fault('kill node', 10, 20, node => 0))->leaderless), [ [ 1, 1.1 ], [ 10, 12 ] ],
        'from the death of the leader to the next one');
    my @two = (fault('stop node', 3, 5, node => 1), fault('isolate node', 4, 6, node => 2));
    is_deeply($rounded->($leaders_with->(@two)->leaderless), [ [ 1, 1.1 ], [ 4, 5 ] ], 'while most of them are away');
    is(Graceful::Chaos::Leaders::seconds('2026-11-26T09:42:00.500+0100'), $zero + 0.5, 'in any time zone');
};

sub put_of {
    my ($key, $value, $revision) = @_;
    return { kv => { key => encode_base64($key, ''), value => encode_base64($value, ''), mod_revision => $revision, create_revision => $revision } };
}

subtest 'places, from the history' => sub {
    my $key = '/graceful/jobs/j/lock/ab';
    my @history = map { Graceful::Chaos::History::change_of($_) } (
        put_of($key, '{"instance":"m1","pid":7}', 3), put_of('/graceful/jobs/k/owner', '5', 4),
        { type => 1, kv => { key => encode_base64($key, ''), mod_revision => 5 } }, put_of($key, 'x', 6),
    );
    my %places = Graceful::Chaos::History::places(\@history, { 3 => 10.5, 4 => 11, 6 => 12 });

    is_deeply(\%places, { j => [
        { epoch => 3, machine => 'm1', pid => 7, lease => 'ab', from => 10.5, to => 12 },
        { epoch => 6, machine => '?', pid => 0, lease => 'ab', from => 12 },
    ] }, 'each with its holder and its times; what nobody saw was before the next thing that somebody saw');
};

subtest 'farewells, from the logs of the masters' => sub {
    my $zero = Graceful::Chaos::Leaders::seconds('2026-11-26T08:42:00.000Z');
    my $log = <<'END';
2026-11-26T08:42:01.000Z error worker[7] j1: the lock is lost, the job must be gone in 1500ms: no answer
2026-11-26T08:42:02.500Z warn  worker[7] j1: /x/state could not be committed and stays there: the job goes on from it if nobody owns it
2026-11-26T08:42:03.000Z warn  worker[8]    j2: the place in the queue is left to its time-out: no answer
2026-11-26T08:42:04.000Z info  worker[9] j3: committed the state and released the lock epoch=3
END

    is_deeply([ Graceful::Chaos::Farewells::read_log($log, -$zero) ], [ { pid => 7, job => 'j1', at => 2.5 }, { pid => 8, job => 'j2', at => 3 } ],
        'the last word of each worker');
};

subtest 'renewals, from what passes' => sub {
    my %link;

    is(Graceful::Chaos::Wire::renewal_in(\%link, qq(POST /v3/lease/keepalive HTTP/1.1\r\n\r\n{"ID":"255"})), 'ff', 'all at once');
    is(Graceful::Chaos::Wire::renewal_in(\%link, "POST /v3/lease/keepalive HTTP/1.1\r\n\r\n"), undef, 'or its head');
    is(Graceful::Chaos::Wire::renewal_in(\%link, '{"ID":"254"}'), 'fe', 'and then its body');
    is(Graceful::Chaos::Wire::renewal_in(\%link, qq(POST /v3/lease/revoke HTTP/1.1\r\n\r\n{"ID":"255"})), undef, 'no other request');
};

subtest 'a network that is cut twice is healed twice' => sub {
    pipe(my $read, my $write) or die "pipe: $!\n";
    $write->autoflush(1);
    my $wire = bless({ orders => $read, cut => {}, slow => {}, pids => {} }, 'Graceful::Chaos::Wire');
    my $link = { ends => [qw(m1 client)] };
    my @is;

    for my $order ('cut m1', 'cut m1', 'slow m1 0.3', 'heal m1', 'quicken m1', 'heal m1') {
        print {$write} "$order\n";
        $wire->obey;
        push @is, ($wire->is_cut($link) ? 'cut' : 'whole') . ($wire->delay_of($link) ? ' and slow' : '');
    }
    is_deeply(\@is, [ 'cut', 'cut', 'cut and slow', 'cut and slow', 'cut', 'whole' ], 'and what is slow is so by itself');
};

# A cluster that does as it is told, and notes it.
package Stub {
    our @did;
    our $now = 100;
    our $AUTOLOAD;

    sub now { return $now }
    sub live_nodes { return (0, 1, 2) }

    sub AUTOLOAD {
        my ($self, @words) = @_;
        my $verb = $AUTOLOAD =~ s/.*:://r;
        push @did, join(' ', $verb, @words) if @words;
        return $self;
    }
    sub DESTROY { }
}

subtest 'the log of faults says how long they lasted' => sub {
    my $faults = Graceful::Chaos::Faults->new(bless({}, 'Stub'));
    my $at = sub { my ($time, $kind, %on) = @_; $Stub::now = $time; $faults->tick; return $kind && $faults->begin(fault($kind, undef, undef, %on)) };

    $at->(100, 'stop node', node => 1, for => 10);
    $at->(100, 'stop node', node => 2, for => 10);
    $at->(103, 'kill node', node => 1, for => 2);
    $at->($_) for 105, 110;
    is_deeply([ map { [ @{$_}{qw(kind node from to)} ] } $faults->log ],
        [ [ 'stop node', 1, 100, 103 ], [ 'stop node', 2, 100, 110 ], [ 'kill node', 1, 103, 105 ] ],
        'the death of a node ends that it is suspended, and that of no other');
    is_deeply([ grep { /^(?:pause|resume|kill_node|run_node)/ } @Stub::did ], [ 'pause 1', 'pause 2', 'kill_node 1', 'run_node 1', 'resume 2' ],
        'and nothing else is done');
};

done_testing;
