#!/usr/bin/perl
# SIGHUP: the configuration is read again, and just what changed is touched.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Etcd;
use Graceful::Test qw(slurp spew wait_for);

# A master with these jobs; %$more: top-level keys. Returns it and the configuration, to be edited.
sub start {
    my ($box, $jobs, $more) = @_;
    my $master = $box->start($box->config('web-1', $jobs, $more));

    $master->wait_state($_, 'running') for keys %$jobs;
    return $master;
}

# Sends HUP and waits for what came of it: "config" of the status file.
sub reload {
    my ($master) = @_;
    my $before = ($master->status->{config} // {})->{reloads} // 0;

    $master->signal('HUP');
    return wait_for('the reload', sub {
        my $config = $master->status->{config} // {};
        return ($config->{reloads} // 0) > $before ? $config : undef;
    });
}

sub stop {
    my ($master) = @_;

    $master->signal('INT');
    return $master->wait_exit;
}

sub pids { return join(' ', @{ $_[0] }{qw(worker_pid job_pid)}) }

subtest 'just what changed is touched' => sub {
    my $box = Graceful::Test->new;
    my %actor = map { $_ => Graceful::Actor->new($box, $_) } qw(added changed kept removed);
    my $master = start($box, { map { $_ => { command => $actor{$_}->command } } qw(changed kept removed) });
    my $kept = $master->job('kept');
    my $changed = $master->job('changed');

    $box->config('web-1', {
        added => { command => $actor{added}->command },
        changed => { command => $actor{changed}->command, stop_signal => 'TERM' },
        kept => { command => $actor{kept}->command },
    });
    my $config = reload($master);
    is($config->{result}, 'applied', 'applied');
    is_deeply([@$config{qw(unchanged changed added removed)}], [['kept'], ['changed'], ['added'], ['removed']],
        'says what became of each job');
    is($actor{changed}->wait_start(2)->{count}, 1, 'a changed job went on from its state');
    $master->wait_state('added', 'running');
    $actor{removed}->wait_for_line(qr/^dumped 1/);
    wait_for('the removed job to leave the status', sub { !exists $master->status->{jobs}{removed} });
    is($actor{removed}->count(qr/^INT/), 1, 'a removed job was told to stop, once');
    is(pids($master->job('kept')), pids($kept), 'the unchanged one has the same processes');
    is($actor{kept}->count(qr/^INT|^TERM/), 0, 'and heard of nothing');
    wait_for('a new worker of the changed one', sub {
        my $worker = $master->job('changed')->{worker_pid};
        return $worker && $worker != $changed->{worker_pid};
    });
    is(stop($master), 0, 'stopped, all is well');
    is($actor{changed}->count(qr/^TERM/), 1, 'under the new definition');
    is($actor{$_}->count(qr/^overlap/), 0, "no two of $_ at a time") for sort keys %actor;
};

subtest 'a broken file changes nothing' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $master = start($box, { orders => { command => $actor->command } });
    my $before = $master->job('orders');

    $box->config('web-1', { orders => { command => $actor->command('other'), nice => 'very', umask => 8 } });
    my $config = reload($master);
    is($config->{result}, 'refused', 'refused');
    is(scalar(@{ $config->{errors} }), 2, 'with every mistake');
    like($config->{errors}[0], qr/web-1\.json:\d+: jobs\.orders\.nice: must be a whole number/, 'in the words of check');
    $master->wait_log(qr/error .*jobs\.orders\.umask: .*\n.*cannot be used, nothing was changed/);
    is(pids($master->job('orders')), pids($before), 'the job runs on');
    spew($box->path('web-1.json'), '{');
    is(reload($master)->{result}, 'refused', 'no JSON at all');
    unlink($box->path('web-1.json'));
    like(reload($master)->{errors}[0], qr/No such file/, 'no file at all');
    $box->config('web-1', { orders => { command => $actor->command } });
    is_deeply(reload($master)->{unchanged}, ['orders'], 'once it is mended it is taken');
    is(pids($master->job('orders')), pids($before), 'and the job runs on');
    is(stop($master), 0, 'stopped, all is well');
};

subtest 'what a running master cannot change is named, and the rest is not applied' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $master = start($box, { orders => { command => $actor->command } });
    my $before = $master->job('orders');

    $box->config('web-1', { orders => { command => $actor->command('other') } },
        { instance => 'web-7', namespace => '/other', run_dir => $box->path('elsewhere') });
    my $config = reload($master);
    is($config->{result}, 'refused', 'refused');
    is_deeply([map { /: (\S+): cannot be changed while the master runs/ } @{ $config->{errors} }],
        [qw(instance namespace run_dir)], 'each key is named');
    is(pids($master->job('orders')), pids($before), 'the job runs on');
    is($actor->count(qr/^INT/), 0, 'and heard of nothing');
    is(stop($master), 0, 'stopped, all is well');
};

subtest 'ten at once are one or a few, and change nothing' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $master = start($box, { orders => { command => $actor->command } });
    my $before = $master->job('orders');

    $master->signal('HUP') for 1 .. 10;
    wait_for('a reload', sub { ($master->status->{config} // {})->{reloads} });
    is_deeply(reload($master)->{unchanged}, ['orders'], 'unchanged');
    is(pids($master->job('orders')), pids($before), 'the same processes');
    is(stop($master), 0, 'stopped, all is well');
};

subtest 'a job that changes while it dumps goes on under its newest definition' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $gate = $box->path('gate');
    my $master = start($box, { orders => { command => $actor->command("hold=$gate") } });

    $box->config('web-1', { orders => { command => $actor->command('once', "hold=$gate"), nice => 1 } });
    is(reload($master)->{result}, 'applied', 'changed');
    $actor->wait_for_line(qr/^INT/);
    $box->config('web-1', {});
    is_deeply(reload($master)->{removed}, ['orders'], 'removed while it dumps');
    $box->config('web-1', { orders => { command => $actor->command('once', "hold=$gate"), nice => 2 } });
    is_deeply(reload($master)->{added}, ['orders'], 'added again while it dumps');
    is($actor->count(qr/^INT/), 1, 'it was told once');
    spew($gate, '');
    my $start = $actor->wait_start(2);
    is($start->{count}, 1, 'its dump was waited for');
    is((split(' ', slurp("/proc/$start->{pid}/stat")))[18], 2, 'the newest definition');
    is(stop($master), 0, 'stopped, all is well');
    is($actor->count(qr/^overlap/), 0, 'never two');
};

subtest 'a stop during a reload, a reload during a stop' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $gate = $box->path('gate');
    my $master = start($box, { orders => { command => $actor->command("hold=$gate") } });

    $box->config('web-1', { orders => { command => $actor->command('other', "hold=$gate") } });
    is(reload($master)->{result}, 'applied', 'changed');
    $actor->wait_for_line(qr/^INT/);
    $master->signal('INT');
    wait_for('the stop', sub { $master->status->{stopping} });
    $master->signal('HUP');
    $master->wait_log(qr/SIGHUP from pid \d+: stopping already, nothing is reloaded/);
    spew($gate, '');
    is($master->wait_exit, 0, 'stopped, all is well');
    is($actor->count(qr/^start/), 1, 'nothing was started any more');
    is($actor->count(qr/^INT/), 1, 'told once');
    is($actor->count(qr/^dumped/), 1, 'and it dumped');
};

# The worker's death in the middle of it must not lose what its job dumps.
for my $fate (qw(changed removed)) {
    subtest "the worker of a $fate job is killed during the reload" => sub {
        my $box = Graceful::Test->new;
        my $actor = Graceful::Actor->new($box, 'orders');
        my $gate = $box->path('gate');
        my %orders = (command => $actor->command("hold=$gate"));
        my $first = start($box, { orders => {%orders} });
        my $second = $box->start($box->config('web-2', { orders => {%orders} }));

        $second->wait_state('orders', 'standby');
        $box->config('web-1', $fate eq 'changed' ? { orders => { %orders, nice => 3 } } : {});
        is(reload($first)->{result}, 'applied', 'applied');
        $actor->wait_for_line(qr/^INT/);
        kill('KILL', $first->job('orders')->{worker_pid});
        $first->wait_log(qr/the worker was ended by SIGKILL/);
        spew($gate, '');
        my $start = $actor->wait_start(2);
        is("$start->{count} $start->{by} $start->{restored}", '1 web-2 clean', 'the next master has what was dumped');
        if ($fate eq 'changed') {
            $first->wait_state('orders', 'standby');
        } else {
            wait_for('the removed job to leave the status', sub { !exists $first->status->{jobs}{orders} });
        }
        is(stop($_), 0, 'stopped, all is well') for $first, $second;
        is($actor->count(qr/^overlap/), 0, 'never two');
    };
}

subtest 'the log follows, also in workers that run' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my %jobs = (orders => { command => $actor->command });
    my $master = start($box, \%jobs, { log => { to => 'stderr', level => 'info' } });
    my $before = $master->job('orders');

    $box->config('web-1', \%jobs, { log => { to => 'stderr', level => 'debug' } });
    is(reload($master)->{result}, 'applied', 'applied');
    is(pids($master->job('orders')), pids($before), 'for this nothing is restarted');
    unlike($master->log_text, qr/debug +worker/, 'it was quieter');
    is(stop($master), 0, 'stopped, all is well');
    like($master->log_text, qr/debug +worker\[$before->{worker_pid}\]/, 'the worker tells more now');
};

subtest 'how etcd is spoken to may change; another coordinator may not' => sub {
    plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;
    my $box = Graceful::Test->new;
    my $etcd = Graceful::Etcd->start;
    my $actor = Graceful::Actor->new($box, 'orders');
    my %jobs = (orders => { command => $actor->command });
    my $master = start($box, \%jobs, { coordinator => $etcd->coordinator(ttl => '30s') });

    $box->config('web-1', \%jobs, { coordinator => $etcd->coordinator(ttl => '40s') });
    is_deeply(reload($master)->{changed}, ['orders'], 'another ttl changes the job');
    my $start = $actor->wait_start(2);
    is("$start->{count} $start->{restored}", '1 clean', 'which went on from its state');
    $box->config('web-1', \%jobs);
    like(reload($master)->{errors}[0], qr/coordinator\.type: cannot be changed/, 'another coordinator is refused');
    is(stop($master), 0, 'stopped, all is well');
    is($actor->count(qr/^overlap/), 0, 'never two');
};

subtest 'graceful reload' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $other = Graceful::Actor->new($box, 'clicks');
    my $gate = $box->path('gate');
    my $master = start($box, { map { ($_ => { command => $actor->command("hold=$gate") }) } qw(a_kept changed removed) });
    my @reload = ($box->graceful, 'reload', '-c', $box->path('web-1.json'));

    my ($status, $out, $err) = $box->run(@reload);
    is("$status $err", '0 ', 'unchanged');
    is($out, "reloaded: 3 unchanged, 0 changed, 0 added, 0 removed\n", 'no table of nothing');
    $box->config('web-1', {
        a_kept => { command => $actor->command("hold=$gate") },
        added => { command => $other->command },
        changed => { command => $actor->command("hold=$gate"), nice => 1 },
    });
    ($status, $out, $err) = $box->run(@reload);
    is("$status $err", '0 ', 'applied; it does not wait for the dumps');
    like($out, qr/^changed +changed +dumps, and .*\nadded +added .*\nremoved +removed /m, 'a table of what changed');
    like($out, qr/^reloaded: 1 unchanged, 1 changed, 1 added, 1 removed$/m, 'and the sum');

    $box->config('web-1', {}, { instance => 'web-2' });
    ($status, $out, $err) = $box->run($box->graceful, 'reload', '--run-dir', $box->path('run-web-1'));
    is($status, 78, 'refused');
    like($err, qr/web-1\.json: instance: cannot be changed .*\ngraceful: the master refused/, 'and why');
    ($status, $out) = $box->run($box->graceful, 'status', '--run-dir', $box->path('run-web-1'));
    like($out, qr/^the last reload was refused;/m, 'status tells of it');
    spew($box->path('web-1.json'), '{');
    ($status, $out, $err) = $box->run(@reload);
    is($status, 78, 'a broken one leads to no master');
    ($status, $out, $err) = $box->run($box->graceful, 'reload', '--no-wait', '--run-dir', $box->path('run-web-1'));
    is("$status $out", "0 asked the master (pid " . $master->pid . ") to read its configuration\n", '--no-wait');
    spew($gate, '');
    is(stop($master), 0, 'stopped, all is well');
    ($status, $out, $err) = $box->run($box->graceful, 'reload', '--run-dir', $box->path('run-web-1'));
    is($status, 1, 'no master');
    like($err, qr/no master runs here/, 'and so it says');
};

subtest 'graceful reload while the master stops' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $gate = $box->path('gate');
    my $master = start($box, { orders => { command => $actor->command("hold=$gate") } });

    $master->signal('INT');
    wait_for('the stop', sub { $master->status->{stopping} });
    my ($status, $out, $err) = $box->run($box->graceful, 'reload', '-c', $box->path('web-1.json'));
    is($status, 1, 'is told so');
    like($err, qr/is stopping: it reloads nothing/, 'in words');
    spew($gate, '');
    is($master->wait_exit, 0, 'stopped, all is well');
};

subtest 'graceful log-reopen' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $master = start($box, { orders => { command => $actor->command } });
    my ($status, $out, $err) = $box->run($box->graceful, 'log-reopen', '-c', $box->path('web-1.json'));

    is("$status $out", '0 log-reopen: sent SIGRTMIN+1 to the master (pid ' . $master->pid . ")\n", 'asked');
    $master->wait_log(qr/the log was opened anew/);
    is(stop($master), 0, 'stopped, all is well');
};

# JSON takes UTF-8 alone, and what cannot be put into the status file would be lost: the whole answer, for the file's name.
subtest 'reasons that are no UTF-8 reach the operator' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my %job = (command => $actor->command);
    my $conf = $box->path("m\xfcller.json");

    rename($box->config('web-1', { orders => \%job }), $conf) or die "rename: $!\n";
    my $master = $box->start($conf)->wait_ready('orders');
    my @reload = ($box->graceful, 'reload', '--run-dir', $master->{run_dir});
    # A name is cut in the middle of a character.
    for my $stem (77 .. 80) {
        rename($box->config('web-1', { orders => { %job, on_exit => 'x' x $stem . "\xe2\x82\xac" x 3 } }), $conf) or die "rename: $!\n";
        my ($status, $out, $err) = $box->run(@reload);
        is($status, 78, 'refused');
        like($err, qr{/m\?ller\.json:\d+: jobs\.orders\.on_exit: must be}, 'and why');
    }
    rename($box->config('web-1', { orders => \%job }), $conf) or die "rename: $!\n";
    my ($status, $out, $err) = $box->run(@reload);
    is("$status $err", '0 ', 'applied');
    stop($master);
};

done_testing();
