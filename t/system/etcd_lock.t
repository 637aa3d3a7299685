#!/usr/bin/perl
# Whole masters on a real etcd: the lock goes from one to the next, is lost, and comes back, and no two jobs ever run at once.
use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();
use Test::More;

use Graceful::Test qw(wait_for slurp alive children_of);

plan skip_all => 'etcd is not installed' if system('command -v etcd etcdctl >/dev/null 2>&1') != 0;

my $box = Graceful::Test->new;
my ($etcd, $url) = start_etcd();

# A port that is free now.
sub port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "no port: $!\n";
    return $socket->sockport;
}

sub start_etcd {
    my ($client, $peer) = map { "http://127.0.0.1:" . port() } 1 .. 2;
    my $pid = fork() // die "cannot fork: $!\n";

    if ($pid == 0) {
        open(STDOUT, '>>', $box->path('etcd.log'));
        open(STDERR, '>>', $box->path('etcd.log'));
        exec('etcd', '--name', 't', '--data-dir', $box->path('etcd'), '--listen-client-urls', $client,
            '--advertise-client-urls', $client, '--listen-peer-urls', $peer, '--initial-advertise-peer-urls', $peer,
            '--initial-cluster', "t=$peer") or POSIX::_exit(127);
    }
    wait_for('etcd is healthy', sub { system("etcdctl --endpoints $client endpoint health >/dev/null 2>&1") == 0 });
    return ($pid, $client);
}

END {
    if ($etcd) {
        local $?;
        kill('CONT', $etcd);
        kill('KILL', $etcd);
        waitpid($etcd, 0);
    }
}

sub etcdctl { return scalar qx(etcdctl --endpoints $url @_ 2>&1) }

# How many wait for a job or own it.
sub places {
    my ($job) = @_;
    return scalar grep { m{/lock/} } split(/\n/, etcdctl('get', '--prefix', '--keys-only', "/graceful/jobs/$job/lock/"));
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

# A master of its own instance for one job, with leases of $ttl.
sub master {
    my ($instance, $job, $command, $ttl, $more) = @_;

    return $box->start($box->config($instance, { $job => { command => $command, checkpoint => '1h', %{ $more // {} } } },
        { coordinator => { type => 'etcd', endpoints => [$url], ttl => $ttl } }));
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
    my $first = master('first', 'orders', $command, '15s');

    $first->wait_state(orders => 'running');
    my $next = master('next', 'orders', $command, '15s');
    waits($next);
    like($next->log_text, qr/held by first on \S+ \(pid \d+\)/, 'it says who has the lock');
    cmp_ok($first->job('orders')->{lease_ms}, '>', 0, 'the status shows the lease');
    is(stop($first), 0, 'the first one stops');
    $next->wait_state(orders => 'running');
    wait_for('the second run', sub { runs('orders') =~ /start 2 clean/ });
    is(stop($next), 0, 'the second one stops');
    is(runs('orders'), "start 1 none\ndumped 1\nstart 2 clean\ndumped 2\n", 'the state went along');
    is(places('orders'), 0, 'no place is left');
    like(etcdctl('lease', 'list'), qr/found 0 leases/, 'and no lease');
};

subtest 'a worker is killed, and one in the queue' => sub {
    my $command = command('kills');
    my $owner = master('owner', 'kills', $command, '60s');

    $owner->wait_state(kills => 'running');
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
    my $owner = master('hung', 'hangs', $command, '4s');

    $owner->wait_state(hangs => 'running');
    my $next = master('healthy', 'hangs', $command, '15s');
    waits($next);
    kill('STOP', my $worker = worker_of($owner));
    $next->wait_state(hangs => 'running');
    ok(!-e $box->path('hangs.runs.two'), 'no two jobs ran at once');
    like($owner->log_text, qr/the worker hangs and its lock is about to end/, 'the master saw to that');
    ok(!alive($worker), 'and ended the worker');
    is(stop($owner), 0, 'the first one stops');
    is(stop($next), 0, 'the second one stops');
};

subtest 'etcd hangs' => sub {
    my $command = command('cut');
    my $master = master('cut', 'cut', $command, '4s');

    $master->wait_state(cut => 'running');
    kill('STOP', $etcd);
    $master->wait_log(qr/the lock is lost, the job must be gone in \d{2,}ms/, 'the loss is told in time to stop');
    wait_for('the job has dumped', sub { runs('cut') =~ /dumped 1/ });
    $master->wait_log(qr/could not be committed and stays there/);
    kill('CONT', $etcd);
    wait_for('it goes on from what it left', sub { runs('cut') =~ /start 2 clean/ });
    like($master->log_text, qr/nobody owned the job since/, 'as nobody owned it meanwhile');
    wait_for('which is committed', sub { ($master->job('cut')->{seq} // 0) >= 1 });
    is(stop($master), 0, 'it stops');
    like(etcdctl('get', '/graceful/jobs/cut/state'), qr/"clean":true/, 'with its state');
    ok(!-e $box->path('work-cut/jobs/.left-cut'), 'and no note of what was left');
};

subtest 'somebody else owned the job meanwhile' => sub {
    my $command = command('stale');
    my $first = master('stale', 'stale', $command, '4s', { stop_timeout => '20s' });

    $first->wait_state(stale => 'running');
    wait_for('the first run has written a state', sub { -s $box->path('work-stale/jobs/stale/state') });
    my $next = master('fresh', 'stale', $command, '15s');
    waits($next);
    my ($lease) = etcdctl('get', '--prefix', '--keys-only', '--sort-by=create', '--limit=1', '/graceful/jobs/stale/lock/') =~ m{/lock/(\w+)};
    etcdctl('lease', 'revoke', $lease);
    $first->wait_log(qr/could not be committed and stays there/);
    $next->wait_state(stale => 'running');
    is(stop($next), 0, 'the next one has owned the job, and stops');
    $first->wait_state(stale => 'running');
    unlike($first->log_text, qr/nobody owned the job since/, 'so the first one does not go on from what it left');
    is(stop($first), 0, 'it stops');
    is((() = runs('stale') =~ /^start 1 none$/mg), 2, 'nor does the next one');
    like(runs('stale'), qr/start 2 clean\ndumped 2\n\z/, 'but both from what was committed');
    ok(!-e $box->path('work-stale/jobs/.left-stale'), 'the note is gone');
    ok(!-e $box->path('stale.runs.two'), 'no two jobs ran at once');
};

done_testing;
