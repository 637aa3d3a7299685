#!/usr/bin/perl
# Three masters on an etcd of three nodes, of which one after the other fails: while jobs run, and while they are handed over. Nothing
# is lost, and no job ever runs twice at once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Etcd;
use Graceful::Team;
use Graceful::Test qw(wait_for);

plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

my $etcd = Graceful::Etcd->start(nodes => 3);
my $team = Graceful::Team->new($etcd, [qw(clicks orders)], ttl => '10s');

# All jobs at one master, so that a hand-over concerns all.
my $owner = $team->start('web-1');
$team->wait_running($owner);
my @standby = map { $team->start($_) } qw(web-2 web-3);
$team->wait_standby($_) for @standby;

# Stops the owner of all, while something happens; it queues again behind the others.
sub hand_over {
    my ($meanwhile) = @_;
    my ($now) = values %{ $team->wait_running };
    my $old = $now->{master};

    $old->signal('INT');
    $meanwhile->();
    is($old->wait_exit, 0, "$old->{instance} stops, every lock released") or diag($old->log_text);
    $team->wait_running;
    my $again = $team->start($old->{instance});
    $team->wait_standby($again);
    return;
}

# Wakes up who led before it was suspended. It may end leases that are in use, so what comes next waits until all jobs are well again.
sub wake {
    my ($leader) = @_;

    $etcd->resume_leader($leader);
    $team->wait_commits;
    return;
}

subtest 'the leader is killed while jobs run' => sub {
    my $leader = $etcd->leader;

    $etcd->kill_node($leader);
    $team->wait_commits;
    pass('the jobs go on');
    $etcd->run_node($leader);
};

subtest 'the leader is killed while jobs are handed over' => sub {
    my $leader = $etcd->leader;

    hand_over(sub { $etcd->kill_node($leader) });
    $etcd->run_node($leader);
};

subtest 'the leader is suspended while jobs run' => sub {
    my $leader = $etcd->leader;

    $etcd->pause($leader);
    $team->wait_commits;
    pass('the jobs go on');
    wake($leader);
};

subtest 'the leader is suspended while jobs are handed over' => sub {
    my $leader = $etcd->leader;

    hand_over(sub { $etcd->pause($leader) });
    wake($leader);
};

subtest 'one member after the other is restarted' => sub {
    for my $i ($etcd->nodes) {
        $etcd->restart($i);
        $team->wait_commits;
        pass("the jobs go on without n$i, and with it");
    }
};

subtest 'all members are killed, and come back' => sub {
    $etcd->kill_node($_) for $etcd->nodes;
    $etcd->run_node($_) for $etcd->nodes;
    $team->wait_running;
    $team->wait_commits;
    pass('the jobs go on');
};

# With leases as short as these it would say nothing that none is left.
$team->finish(leases => 1);
done_testing;
