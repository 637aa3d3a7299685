#!/usr/bin/perl
# Whole masters on a real etcd: the lock goes from one to the next, also when workers die or hang, and no two jobs ever run at once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Etcd;
use Graceful::Test qw(wait_for slurp children_of end_of);

plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

my $box = Graceful::Test->new;
my $etcd = Graceful::Etcd->start;

# How many wait for a job or own it.
sub places {
    my ($job) = @_;
    return scalar $etcd->keys_below("/graceful/jobs/$job/lock/");
}

# A job that counts how often it was started, says so in its own log, and complains when another one runs.
sub command {
    my ($name) = @_;
    my $log = $box->path("$name.runs");

    return $box->job($name, <<"END", 'echo $n | dump; echo "dumped $n" >>' . "'$log'");
exec 8>'$log.lock'
flock -n 8 || echo two >>'$log.two'
n=\$((\$(cat "\$GRACEFUL_STATE" 2>/dev/null || echo 0) + 1))
echo "start \$n \$GRACEFUL_RESTORED" >>'$log'
echo \$n | dump
END
}

sub runs { return slurp($box->path("$_[0].runs")) }

# It runs, and so far that it knows what to dump.
sub wait_first {
    my ($master, $job) = @_;

    $master->wait_state($job => 'running');
    return wait_for("the first run of $job", sub { runs($job) =~ /start 1/ });
}

# A master of its own instance for one job, with leases of $ttl.
sub master {
    my ($instance, $job, $command, $ttl) = @_;

    return $box->start($box->config($instance, { $job => { command => $command, checkpoint => '1h' } },
        { coordinator => $etcd->coordinator(ttl => $ttl) }));
}

sub stop {
    my ($master) = @_;

    $master->signal('INT');
    return $master->wait_exit;
}

sub worker_of { return (children_of($_[0]->pid))[0] }

sub waits {
    my ($master) = @_;
    return $master->wait_log(qr/waits for the lock, held by/, "$master->{instance} waits");
}

subtest 'from one master to the next' => sub {
    my $command = command('orders');
    my $first = master('first', 'orders', $command, '300s');

    wait_first($first, 'orders');
    my $next = master('next', 'orders', $command, '300s');
    waits($next);
    like($next->log_text, qr/held by first on \S+ \(pid \d+\)/, 'it says who has the lock');
    wait_for('its status says so, too', sub { ($next->job('orders')->{holder} // '') =~ /^first on \S+ \(pid \d+\) since / });
    my $last = master('last', 'orders', $command, '300s');
    waits($last);
    cmp_ok($first->job('orders')->{lease_ms}, '>', 0, 'the status shows the lease');
    is(stop($first), 0, 'the first one stops');
    $next->wait_state(orders => 'running');
    wait_for('the second run', sub { runs('orders') =~ /start 2 clean/ });
    ok(!exists $next->job('orders')->{holder}, 'which waits for nobody any more');
    wait_for('the third to hear of it', sub { ($last->job('orders')->{holder} // '') =~ /^next on / });
    is(stop($last), 0, 'the third one leaves');
    is(stop($next), 0, 'the second one stops');
    is(runs('orders'), "start 1 none\ndumped 1\nstart 2 clean\ndumped 2\n", 'the state went along');
    is(places('orders'), 0, 'no place is left');
    ok($etcd->leases_become(0), 'and no lease');
};

subtest 'a worker is killed, and one in the queue' => sub {
    my $command = command('kills');
    my $owner = master('owner', 'kills', $command, '60s');

    wait_first($owner, 'kills');
    my $waiter = master('waiter', 'kills', $command, '60s');
    waits($waiter);
    my $dead = worker_of($waiter);
    kill('KILL', $dead);
    wait_for('it queues again', sub { () = $waiter->log_text =~ /waits for the lock/g; $waiter->log_text =~ /waits.*waits/s });
    wait_for('the place of the dead one is cleared', sub { places('kills') == 2 });
    kill('KILL', worker_of($owner));
    $waiter->wait_state(kills => 'running');
    wait_for('it goes on from the dump', sub { runs('kills') =~ /start 2 clean/ });
    is(stop($owner), 0, 'the first one stops');
    is(stop($waiter), 0, 'the second one stops');
    is(places('kills'), 0, 'no place is left');
};

subtest 'a worker hangs until its lease ends' => sub {
    my $command = command('hangs');
    my $owner = master('hung', 'hangs', $command, '8s');

    wait_first($owner, 'hangs');
    my $next = master('healthy', 'hangs', $command, '15s');
    waits($next);
    my $worker_gone = end_of(my $worker = worker_of($owner));
    kill('STOP', $worker);
    $next->wait_state(hangs => 'running');
    ok(!-e $box->path('hangs.runs.two'), 'no two jobs ran at once');
    like($owner->log_text, qr/the worker hangs and its lock is about to end/, 'the master saw to that');
    ok($worker_gone->(), 'and ended the worker');
    is(stop($owner), 0, 'the first one stops');
    is(stop($next), 0, 'the second one stops');
};

subtest 'a machine is suspended between the grant and the start of the job' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
    my $command = command('late');
    local $ENV{GRACEFUL_FAULT} = 'worker.before_spawn=stop';
    my $first = master('late', 'late', $command, '10s');
    delete $ENV{GRACEFUL_FAULT};

    $first->wait_log(qr/before_spawn/);
    kill('STOP', $first->pid);
    my ($worker) = children_of($first->pid);
    my $next = master('early', 'late', $command, '15s');
    $next->wait_state(late => 'running');
    wait_for('its job runs', sub { runs('late') =~ /start 1/ });
    kill('CONT', $worker);
    wait_for('the first one does not start it', sub { $first->log_text =~ /its lock may have ended meanwhile/ });
    kill('CONT', $first->pid);
    waits($first);
    is((() = runs('late') =~ /^start/mg), 1, 'the job was started once');
    ok(!-e $box->path('late.runs.two'), 'no two jobs ran at once');
    is(stop($first), 0, 'the first one stops');
    is(stop($next), 0, 'the second one stops');
};

done_testing;
