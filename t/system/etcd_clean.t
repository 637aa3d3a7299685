# After a clean stop nothing of a master is left in etcd: no key in a queue and no lease, wherever the stop found it. Real etcd.

use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP;
use Test::More;

use Graceful::Etcd;
use Graceful::Test qw(wait_for children_of);

plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

my $box = Graceful::Test->new;
my $etcd = Graceful::Etcd->start;

# Leases that last, so that none is gone by itself before it is looked for.
sub master {
    my ($instance, $jobs, %more) = @_;
    my $command = $box->job("job-$instance", 'echo 1 | dump', 'echo 2 | dump');

    return $box->start($box->config($instance, { map { $_ => { command => $command, checkpoint => '1h', %more } } @{$jobs} },
        { coordinator => $etcd->coordinator(ttl => '300s') }));
}

sub nothing_left {
    my ($what) = @_;
    my @places = grep { m{/lock/} } $etcd->keys_below('/graceful/');

    is("@places", '', "no place in a queue is left $what");
    ok($etcd->leases_become(0), 'and no lease');
    return;
}

sub stop {
    my (@masters) = @_;

    $_->signal('INT') for @masters;
    is($_->wait_exit, 0, "$_->{instance} stops") for @masters;
    return;
}

sub waits_for {
    my ($master, $times) = @_;
    return wait_for("$master->{instance} waits", sub { (() = $master->log_text =~ /waits for the lock/g) >= $times });
}

sub alarm_of_space {
    my ($action) = @_;
    my $answer = HTTP::Tiny->new(timeout => 20)->post($etcd->url(0) . '/v3/maintenance/alarm',
        { content => encode_json({ action => $action, alarm => 'NOSPACE' }) });

    die "$answer->{status} $answer->{content}\n" unless $answer->{success};
    return;
}

subtest 'owners and standbys' => sub {
    my @jobs = map { "job$_" } 1 .. 5;
    my $owner = master('owner', \@jobs);

    $owner->wait_state($_ => 'running') for @jobs;
    my $standby = master('standby', \@jobs);
    waits_for($standby, 5);
    is(scalar($etcd->leases), 10, 'each worker has a lease');
    stop($standby);
    ok($etcd->leases_become(5), 'a standby takes its own along');
    stop($owner);
    nothing_left('by owners');
};

# So that the next owner need not tell first that it is one.
subtest 'a job that has no state' => sub {
    my $key = '/graceful/jobs/stateless/owner';
    my $conf = $box->config('stateless', { stateless => { command => $box->job('job-stateless', '', '') } },
        { coordinator => $etcd->coordinator(ttl => '300s') });

    for my $round (1, 2) {
        my $master = $box->start($conf);

        $master->wait_state(stateless => 'running');
        wait_for('it is known who owns it', sub { $etcd->value($key) ne '' });
        stop($master);
        is($etcd->value($key), '', "nor is anybody known to have left a state, $round");
    }
    nothing_left('by one without a state');
};

# It takes what only deletes. Who waits already can go on with a job that left nothing.
subtest 'a server that is out of space' => sub {
    my @conf = map { $box->config($_, { stateless => { command => $box->job('job-space', '', '') } },
        { coordinator => $etcd->coordinator(ttl => '300s') }) } qw(space-1 space-2);
    my $first = $box->start($conf[0]);

    $first->wait_state(stateless => 'running');
    my $next = $box->start($conf[1]);

    waits_for($next, 1);
    wait_for('it is known who owns it', sub { $etcd->value('/graceful/jobs/stateless/owner') ne '' });
    alarm_of_space('ACTIVATE');
    stop($first);
    $next->wait_state(stateless => 'running');
    stop($next);
    alarm_of_space('DEACTIVATE');
    nothing_left('by those that had no space');
};

subtest 'both at once' => sub {
    my $one = master('one', ['orders']);

    $one->wait_state(orders => 'running');
    my $two = master('two', ['orders']);
    waits_for($two, 1);
    stop($one, $two);
    nothing_left('by two that stopped at once');
};

subtest 'stopped as soon as it runs' => sub {
    for my $i (1 .. 5) {
        my $early = master("early$i", [ map { "job$_" } 1 .. 3 ]);

        $early->wait_log(qr/worker started/);
        stop($early);
    }
    nothing_left('by those that had hardly begun');
};

subtest 'a worker that dies in the queue while its master stops' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
    my $owner = master('owns', ['orders']);

    $owner->wait_state(orders => 'running');
    local $ENV{GRACEFUL_FAULT} = 'worker.before_release=kill';
    my $waiter = master('dies', ['orders']);
    waits_for($waiter, 1);
    stop($waiter);
    like($waiter->log_text, qr/the worker was ended by SIGKILL/, 'its worker died');
    ok($etcd->leases_become(1), 'the next one gave its place back');
    stop($owner);
    nothing_left('by it');
};

subtest 'killed workers' => sub {
    my $owner = master('kills', ['orders']);

    $owner->wait_state(orders => 'running');
    my $waiter = master('killed', ['orders']);
    waits_for($waiter, 1);
    kill('KILL', children_of($waiter->pid));
    waits_for($waiter, 2);
    kill('KILL', (children_of($owner->pid))[0]);
    $waiter->wait_state(orders => 'running');
    $owner->wait_log(qr/waits for the lock/);
    stop($waiter, $owner);
    nothing_left('by a rescue, nor of a worker that died in the queue');
};

# Every one of the grants may be carried out when the server goes on; whoever asks for it to be done again with another id leaves leases
# behind that nobody knows of.
subtest 'a server that hung when it was asked' => sub {
    $etcd->pause(0);
    my $master = master('patient', ['orders']);
    $master->wait_log(qr/cannot get the lock/);
    $etcd->resume(0);
    $master->wait_state(orders => 'running');
    is(scalar($etcd->leases), 1, 'one lease, however often it was asked for');
    stop($master);
    nothing_left('by one that was not answered for long');
};

subtest 'a server that is not there' => sub {
    $etcd->kill_node(0);
    my $master = master('lonely', ['orders']);
    $master->wait_log(qr/worker started/);
    stop($master);
    $etcd->run_node(0);
    $etcd->wait_healthy;
    nothing_left('by one that found no etcd');
};

done_testing;
