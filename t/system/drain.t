#!/usr/bin/perl
# How many jobs a master holds: WINCH drains it, TTOU and TTIN and max_jobs set a limit.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Etcd;
use Graceful::Test qw(spew wait_for);

sub config {
    my ($box, $instance, $actors, $more, $words) = @_;

    return $box->config($instance,
        { map { $_ => { command => $actors->{$_}->command(@{ $words // [] }) } } keys %$actors }, $more);
}

sub start {
    my ($box, @config) = @_;

    return $box->start(config($box, @config));
}

sub actors {
    my ($box, @names) = @_;

    return { map { $_ => Graceful::Actor->new($box, $_) } @names };
}

# The jobs in this state, by name; of those that run the ones that are ready: not before that they would be sure to dump.
sub in_state {
    my ($master, $state) = @_;
    my $jobs = $master->status->{jobs} // {};

    my @names = sort grep { $jobs->{$_}{state} eq $state && ($state ne 'running' || $jobs->{$_}{ready}) } keys %$jobs;

    return @names;
}

sub wait_count {
    my ($master, $state, $n) = @_;

    wait_for("$n jobs of $master->{instance} are $state", sub { in_state($master, $state) == $n });
    return in_state($master, $state);
}

sub stop {
    my (@masters) = @_;

    for (@masters) {
        $_->signal('INT');
        is($_->wait_exit, 0, "$_->{instance} stopped, all is well");
    }
    return;
}

subtest 'a drained master holds nothing, and takes the jobs back on HUP' => sub {
    my $box = Graceful::Test->new;
    my $actors = actors($box, qw(a b));
    my $master = start($box, 'web-1', $actors);

    wait_count($master, 'running', 2);
    $master->signal('WINCH');
    wait_count($master, 'parked', 2);
    wait_for('drained', sub { $master->status->{drained} });
    ok($master->status->{draining}, 'and the status says so');
    is($actors->{$_}->count(qr/^dumped 1/), 1, "$_ dumped") for qw(a b);
    is_deeply([$master->descendants], [], 'no process is left');
    my $second = start($box, 'web-2', $actors);
    wait_count($second, 'running', 2);
    is($actors->{a}->wait_start(2)->{count}, 1, 'another one went on from there');
    $master->signal('HUP');
    wait_count($master, 'standby', 2);
    ok(!exists $master->status->{draining}, 'the drain is over');
    stop($second);
    wait_count($master, 'running', 2);
    stop($master);
    is($actors->{$_}->count(qr/^overlap/), 0, "no two of $_ at a time") for qw(a b);
};

subtest 'a broken file does not end a drain' => sub {
    my $box = Graceful::Test->new;
    my $master = start($box, 'web-1', actors($box, 'a'));

    wait_count($master, 'running', 1);
    $master->signal('WINCH');
    wait_count($master, 'parked', 1);
    spew($box->path('web-1.json'), '{');
    $master->signal('HUP');
    $master->wait_log(qr/nothing was changed/);
    wait_for('the refusal', sub { ($master->status->{config} // {})->{result} });
    ok($master->status->{drained}, 'drained as before');
    stop($master);
};

subtest 'a stop while a drain dumps' => sub {
    my $box = Graceful::Test->new;
    my $actors = actors($box, 'a');
    my $gate = $box->path('gate');
    my $master = start($box, 'web-1', $actors, {}, ["hold=$gate"]);

    wait_count($master, 'running', 1);
    $master->signal('WINCH');
    $actors->{a}->wait_for_line(qr/^INT/);
    ok(!$master->status->{drained}, 'not drained yet');
    $master->signal('INT');
    wait_for('the stop', sub { $master->status->{stopping} });
    $master->signal('WINCH');
    $master->wait_log(qr/SIGWINCH from pid \d+: stopping already/);
    spew($gate, '');
    is($master->wait_exit, 0, 'stopped, all is well');
    is($actors->{a}->count(qr/^INT/), 1, 'told once');
};

subtest 'TTOU: one job fewer is held, and handed over; TTIN: one more' => sub {
    my $box = Graceful::Test->new;
    my $actors = actors($box, qw(a b c));
    my $master = start($box, 'web-1', $actors);

    wait_count($master, 'running', 3);
    $master->signal('TTOU');
    my ($given) = wait_count($master, 'parked', 1);
    is($master->status->{max_jobs}, 2, 'the status has the limit');
    is($actors->{$given}->count(qr/^dumped 1/), 1, 'the job dumped');
    is(scalar(in_state($master, 'running')), 2, 'the others run on');
    # One that may hold just this one finds it, as it gives up what it waits for in vain.
    my $second = start($box, 'web-2', $actors, { max_jobs => 1 });
    is_deeply([wait_count($second, 'running', 1)], [$given], 'another master takes it');
    $master->signal('TTIN');
    wait_count($master, 'standby', 1);
    ok(!exists $master->status->{max_jobs}, 'no limit any more');
    stop($second);
    wait_count($master, 'running', 3);
    stop($master);
    is($actors->{$_}->count(qr/^overlap/), 0, "no two of $_ at a time") for sort keys %$actors;
};

subtest 'a reload takes a max_jobs that was changed, and no other' => sub {
    my $box = Graceful::Test->new;
    my $actors = actors($box, qw(a b c));
    my $master = start($box, 'web-1', $actors, { max_jobs => 3 });
    my $reload = sub {
        my $n = ($master->status->{config} // {})->{reloads} // 0;

        config($box, 'web-1', $actors, @_);
        $master->signal('HUP');
        return wait_for('the reload', sub { my $c = $master->status->{config} // {}; ($c->{reloads} // 0) > $n && $c });
    };

    wait_count($master, 'running', 3);
    $master->signal('TTOU');
    wait_count($master, 'parked', 1);
    is_deeply($reload->({ max_jobs => 3 })->{unchanged}, [qw(a b c)], 'the same file');
    is($master->status->{max_jobs}, 2, 'leaves what TTOU said, as when logs are rotated');
    $reload->({ max_jobs => 1 });
    wait_count($master, 'parked', 2);
    is($master->status->{max_jobs}, 1, 'another number counts');
    $reload->({});
    wait_count($master, 'running', 3);
    ok(!exists $master->status->{max_jobs}, 'and none is no limit');
    stop($master);
    is($actors->{$_}->count(qr/^overlap/), 0, "no two of $_ at a time") for sort keys %$actors;
};

# Two masters that may hold two jobs each.
sub share_four_jobs {
    my ($box, %more) = @_;
    my $actors = actors($box, qw(a b c d));
    my @masters = map { start($box, $_, $actors, { max_jobs => 2, %more }) } qw(web-1 web-2);

    for my $master (@masters) {
        wait_count($master, 'running', 2);
        is(scalar(in_state($master, 'parked')), 2, 'the others are parked');
    }
    # One at a time, as signals coalesce.
    for my $limit (3, 4) {
        $masters[0]->signal('TTIN');
        wait_for("a limit of $limit", sub { $masters[0]->status->{max_jobs} == $limit });
    }
    stop($masters[1]);
    wait_count($masters[0], 'running', 4);
    stop($masters[0]);
    is($actors->{$_}->count(qr/^overlap/), 0, "no two of $_ at a time") for sort keys %$actors;
    is($actors->{$_}->count(qr/^end/), $actors->{$_}->count(qr/^start/), "$_ was never cut short") for sort keys %$actors;
    return;
}

subtest 'max_jobs: two masters share four jobs' => sub { share_four_jobs(Graceful::Test->new) };

subtest 'the same, by etcd' => sub {
    plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;
    my $etcd = Graceful::Etcd->start;

    share_four_jobs(Graceful::Test->new, coordinator => $etcd->coordinator(ttl => '60s'));
};

subtest 'graceful drain and resume' => sub {
    my $box = Graceful::Test->new;
    my $actors = actors($box, qw(a b));
    my $gate = $box->path('gate');
    my $master = start($box, 'web-1', $actors, {}, ["hold=$gate"]);
    my @find = ('-c', $box->path('web-1.json'));

    wait_count($master, 'running', 2);
    my ($status, $out, $err) = $box->run($box->graceful, 'drain', '--no-wait', @find);
    is("$status $out", '0 asked the master (pid ' . $master->pid . ") to drain\n", '--no-wait');
    wait_for('the drain', sub { $master->status->{draining} });
    ($status, $out) = $box->run($box->graceful, 'status', @find);
    like($out, qr/  DRAINING$/m, 'status: draining');
    spew($gate, '');
    ($status, $out, $err) = $box->run($box->graceful, 'drain', @find);
    is("$status $err", '0 ', 'waits until it is drained');
    like($out, qr/^drained: pid \d+ holds no job, .*; graceful resume ends that$/m, 'and says so');
    ($status, $out) = $box->run($box->graceful, 'status', @find);
    like($out, qr/  DRAINED\n2 jobs: 2 parked$/m, 'status: drained');
    ($status, $out, $err) = $box->run($box->graceful, 'resume', @find);
    is("$status $err", '0 ', 'resumed');
    like($out, qr/^reloaded: 2 unchanged.*\nthe drain has ended: this master takes jobs again$/m, 'and says so');
    wait_count($master, 'running', 2);
    stop($master);
};

subtest 'a drain that had a state not dumped cleanly' => sub {
    my $box = Graceful::Test->new;
    my %actors = map { $_ => Graceful::Actor->new($box, $_) } qw(a b);
    my $master = $box->start($box->config('web-1', { a => { command => $actors{a}->command('nodump', 'exit=5') }, b => { command => $actors{b}->command } }));
    my @find = ('-c', $box->path('web-1.json'));

    $master->wait_ready($_) for qw(a b);
    my ($status, $out, $err) = $box->run($box->graceful, 'drain', @find);
    is($status, 3, 'exit status');
    like($err, qr/drained \(pid \d+ holds no job\), but the state of a was not dumped cleanly; there is no older one, see the master's log/, 'says which');
    ($status, $out, $err) = $box->run($box->graceful, 'drain', @find);
    is("$status $err", '0 ', 'again: there was nothing left to dump');
    ($status, $out, $err) = $box->run($box->graceful, 'stop', @find);
    is("$status $err", '0 ', 'nor for a stop');
    like($out, qr/^stopped: pid \d+, nothing was held, /m, 'which claims nothing');
};

done_testing();
