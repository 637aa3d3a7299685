#!/usr/bin/perl
# Deaths: of the master, of workers at every point of a job's life, and of both at once. Whatever dies, no two copies of a job
# run, no lock waits for a time-out, and the next owner starts from the last state that counts.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Test qw(alive end_of slurp spew wait_for);

my %limits = (stop_timeout => 'infinity', hurry_timeout => '100ms', checkpoint => '100ms');

sub job_of {
    my ($actor, $words, $more) = @_;

    return { orders => { command => $actor->command(@{$words}), %limits, %{ $more // {} } } };
}

# A box, its master with one job that runs, and the journal of that job.
sub running {
    my ($words, $more) = @_;

    return running_in(Graceful::Test->new, $words, $more);
}

sub running_in {
    my ($box, $words, $more) = @_;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $master = $box->start($box->config('web-1', job_of($actor, $words, $more)));

    $master->wait_ready('orders');
    return ($box, $actor, $master);
}

# The same with a job whose dump waits until the file $hold is there.
sub holding {
    my (@words) = @_;
    my $box = Graceful::Test->new;
    my $hold = $box->path('go');

    return (running_in($box, ["hold=$hold", @words]), $hold);
}

# A master that starts while the job is another's, and waits for it.
sub successor {
    my ($box, $actor, $words) = @_;
    my $next = $box->start($box->config('web-2', job_of($actor, $words // [])));

    $next->wait_log(qr/waits for the lock/);
    return $next;
}

# The successor got the job, alone, and hands it back in order. Returns what its job was told.
sub takes_over {
    my ($next, $actor, $how) = @_;
    my $start;

    $next->wait_ready('orders');
    $start = $actor->wait_start;
    is("$start->{by} $start->{restored} $start->{count}", "$next->{instance} $how", 'the next owner starts right');
    is($actor->count(qr/^overlap/), 0, 'and meets nobody');
    $next->signal('INT');
    is($next->wait_exit, 0, 'and stops in order');
    is_deeply([$actor->survivors], [], 'nothing is left of any job');
    return $start;
}

sub worker_of { return $_[0]->job('orders')->{worker_pid} }

subtest 'a rescue that finds the lock released knows what the job is left with' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $master = $box->start($box->config('web-1', job_of($actor, ['exit=7'])),
        sub { $ENV{GRACEFUL_FAULT} = 'worker.after_release_before_ack=kill' });

    $master->wait_ready('orders');
    my ($status, undef, $err) = $box->run($box->graceful, 'stop', '--run-dir', $master->{run_dir});
    is($status, 3, 'exit status');
    like($master->log_text, qr/the lock is free, but no record tells/, 'so it was');
    like($err, qr/the state of orders was not dumped cleanly; its last good one was kept,/, 'the command does not say that there is none');
};

subtest 'the master is killed: its workers drain by themselves' => sub {
    my ($box, $actor, $master) = running(['family']);
    my $worker_gone = end_of(worker_of($master));
    my $next = successor($box, $actor);

    $master->signal('KILL');
    $master->wait_exit;
    takes_over($next, $actor, 'clean 1');
    is($actor->count(qr/^INT$/), 2, 'one INT for each job');
    wait_for('the worker is gone', $worker_gone);
};

subtest 'the master is killed in the middle of a stop' => sub {
    my ($box, $actor, $master, $hold) = holding();

    my $next = successor($box, $actor);
    $master->signal('INT');
    $actor->wait_for_line(qr/^INT$/);
    $master->signal('KILL');
    $master->wait_exit;
    $master->wait_log(qr/the master is gone/);
    spew($hold, '');
    takes_over($next, $actor, 'clean 1');
};

subtest 'the master is killed, and a new one starts at once in the same directories' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $hold = $box->path('go');
    my $conf = $box->config('web-1', job_of($actor, ["hold=$hold"]));
    my $master = $box->start($conf);

    $master->wait_ready('orders');
    my $old = $actor->wait_start->{pid};
    $master->signal('KILL');
    $master->wait_exit;
    my $again = $box->start($conf);
    $again->wait_state(orders => 'standby');
    ok(alive($old), 'the old job still dumps');
    spew($hold, '');
    takes_over($again, $actor, 'clean 1');
};

subtest 'a worker is killed: a rescue worker commits the dump and releases' => sub {
    my ($box, $actor, $master) = running(['family', 'once']);
    my $next = successor($box, $actor);

    kill('KILL', worker_of($master));
    $next->wait_ready('orders');
    is($actor->count(qr/^INT$/), 1, 'the job was told to stop, once');
    like($master->log_text, qr/worker was ended by SIGKILL.*rescue.*committed the state and released/s, 'the master tells');
    $master->wait_state(orders => 'standby');
    $master->signal('INT');
    is($master->wait_exit, 0, 'the first master has nothing to regret');
    takes_over($next, $actor, 'clean 1');
};

subtest 'a worker and then its job end while the master is busy' => sub {
    my ($box, $actor, $master) = running([], { restart_min => '10ms' });
    my $worker = worker_of($master);

    $master->signal('STOP');
    kill('KILL', $actor->wait_start->{pid});
    wait_for('its next job listens', sub { $actor->count(qr/^start/) == 2 && slurp($master->{log}) =~ /ready.*ready/s });
    my $job_gone = end_of($actor->wait_start(2)->{pid});
    kill('KILL', $worker);
    wait_for('that has dumped', sub { $actor->count(qr/^dumped/) && $job_gone->() });
    $master->signal('CONT');
    my $start = $actor->wait_start(3);
    is("$start->{restored} $start->{count}", 'clean 1', 'its dump is called what it is');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
};

subtest 'a worker is killed and its job is busy with its dump' => sub {
    my ($box, $actor, $master, $hold) = holding('once');

    my $next = successor($box, $actor);
    kill('KILL', worker_of($master));
    $actor->wait_for_line(qr/^INT$/);
    $master->wait_log(qr/worker was ended by SIGKILL/);
    is($actor->count(qr/^start/), 1, 'nobody takes over while it dumps');
    spew($hold, '');
    $master->wait_state(orders => 'standby');
    $master->signal('INT');
    is($master->wait_exit, 0, 'the first master');
    takes_over($next, $actor, 'clean 1');
};

subtest 'a worker is killed while its job dumps in a stop' => sub {
    my ($box, $actor, $master, $hold) = holding();

    my $next = successor($box, $actor);
    $master->signal('INT');
    $actor->wait_for_line(qr/^INT$/);
    kill('KILL', worker_of($master));
    $master->wait_log(qr/worker was ended by SIGKILL/);
    spew($hold, '');
    is($master->wait_exit, 0, 'still, the state was dumped and the lock released');
    takes_over($next, $actor, 'clean 1');
};

# The end of another one that asked for nothing tells that the time of a stop has gone by.
subtest 'a worker is killed while its job dumps in the time that it asked for' => sub {
    my $box = Graceful::Test->new;
    my %actors = map { $_ => Graceful::Actor->new($box, $_) } qw(orders clicks);
    my $hold = $box->path('go');
    my %words = (orders => ["hold=$hold", 'extend=600000000'], clicks => ['hold=/nonexistent']);
    my $master = $box->start($box->config('web-1', {
        map { $_ => { command => $actors{$_}->command(@{ $words{$_} }), %limits, stop_timeout => '20s' } } keys %words }));

    $master->wait_ready($_) for qw(orders clicks);
    my $other_gone = end_of($actors{clicks}->wait_start->{pid});
    $master->signal('INT');
    wait_for('it asked for more time', sub { ($master->job('orders')->{status} // '') eq 'extended' });
    kill('KILL', $master->job($_)->{worker_pid}) for qw(orders clicks);
    wait_for('the other job is killed', $other_gone);
    spew($hold, '');
    is($master->wait_exit, 3, 'the other one did not dump');
    is($actors{orders}->count(qr/^dumped 1$/), 1, 'it did');
    is($actors{orders}->count(qr/^TERM$/), 0, 'unhurried');
    like($master->log_text, qr/ orders: .*committed the state and released the lock/, 'and that is committed');
};

# The end of the job is seen before its rescue worker is there, or after.
for my $late (0, 1) {
    subtest 'a worker is killed whose job has never had a state, ' . ($late ? 'and ends late' : 'and ends') => sub {
        my $box = Graceful::Test->new;
        my $master = $box->start($box->config('web-1', { orders => { command => ['/bin/sleep', '600'], %limits } }));

        my $job = wait_for('its job runs', sub { $master->job('orders')->{job_pid} });
        my $job_gone = end_of($job);
        my $worker = worker_of($master);
        $master->signal('STOP');
        kill('STOP', $job) if $late;
        kill('KILL', $worker);
        wait_for('the job has ended', $job_gone) unless $late;
        $master->signal('INT');
        $master->signal('CONT');
        is($master->wait_exit, 0, 'its own stop signal ended it: it had nothing to dump');
        like($master->log_text, qr/rescue.*released the lock/s, 'as a rescue worker found');
    };
}

# A machine that owned a job before still has the state of that time where the job's state goes.
subtest 'a worker is killed before it has restored the state: an older one is not committed in its place' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $state = { state => { url => 'file://' . $box->path('store'), inline_max => '0B' } };
    my %confs = map { $_ => $box->config($_, job_of($actor, []), $state) } qw(web-1 web-2);

    for my $instance (qw(web-1 web-2)) {
        my $master = $box->start($confs{$instance});
        $master->wait_ready('orders');
        $master->signal('INT');
        is($master->wait_exit, 0, "a tenure at $instance");
    }
    my $record = $box->path('local/graceful/jobs/orders/state');
    my $committed = slurp($record);
    rename($box->path('store/graceful'), $box->path('away')) or die "rename: $!\n";
    my $master = $box->start($confs{'web-1'});
    $master->wait_log(qr/cannot restore the state/);
    wait_for('it is known to have the lock', sub { $master->job('orders')->{epoch} });
    kill('KILL', worker_of($master));
    $master->wait_log(qr/rescue.*released the lock/s);
    is(slurp($record), $committed, 'the record is what it was');
    system('cp', '-a', $box->path('away') . '/.', $box->path('store/graceful')) == 0 or die "cp: $?\n";
    $actor->wait_for_line(qr/^start/, 3);
    is($actor->wait_start(3)->{count}, 2, 'the job starts from the state of the last owner');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
};

# It hears of nothing until it goes on, and there is no end to its time.
subtest 'a worker dies whose job was stopped by SIGSTOP' => sub {
    my ($box, $actor, $master) = running([], { stop_timeout => 'infinity' });
    my $next = successor($box, $actor);

    kill('STOP', $actor->wait_start->{pid});
    kill('KILL', worker_of($master));
    $actor->wait_for_line(qr/^dumped 1$/);
    $master->signal('INT');
    is($master->wait_exit, 0, 'it was woken to dump');
    takes_over($next, $actor, 'clean 1');
};

subtest 'its master dies, too' => sub {
    my ($box, $actor, $master) = running([], { stop_timeout => 'infinity' });
    my $next = successor($box, $actor);

    my $job_gone = end_of(my $job = $actor->wait_start->{pid});
    kill('STOP', $job);
    kill('KILL', worker_of($master), $master->pid);
    $master->wait_exit;
    $actor->wait_for_line(qr/^dumped 1$/);
    $actor->wait_start(2);
    ok($job_gone->(), 'the next owner waits for its end');
    is($actor->count(qr/^overlap/), 0, 'and meets nobody');
    $next->wait_ready('orders');
    $next->signal('INT');
    is($next->wait_exit, 0, 'and stops in order');
};

# The worker has buried the job's main process itself: nobody can tell the master of it any more.
subtest 'a worker is killed when only a stubborn family is left' => sub {
    my ($box, $actor, $master) = running(['family'], { stop_timeout => 'infinity', hurry_timeout => '3s' });
    my $next = successor($box, $actor);

    $master->signal('INT');
    $actor->wait_for_line(qr/^end$/);
    $master->wait_log(qr/the job exited with status 0/);
    kill('KILL', worker_of($master));
    is($master->wait_exit, 0, 'the family ends, the dump is committed and the lock released');
    takes_over($next, $actor, 'clean 1');
};

subtest 'a worker dies while what is left of another job is being ended: its own job dumps in peace' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
    my $box = Graceful::Test->new;
    my $stubborn = Graceful::Actor->new($box, 'orders');
    my $actor = Graceful::Actor->new($box, 'clicks');
    my $conf = $box->config('web-1', {
        orders => { command => $stubborn->command('family'), %limits },
        clicks => { command => $actor->command('hold=' . $box->path('go')), %limits, restart_min => '10ms' },
    });
    my $master = $box->start($conf, sub { $ENV{GRACEFUL_FAULT} = 'master.before_orphans_signal=stop' });

    $master->wait_ready($_) for qw(orders clicks);
    my $other = $master->job('clicks')->{worker_pid};
    kill('KILL', worker_of($master));
    $master->wait_log(qr/^fault: before_orphans_signal/m);
    # The master has yet to read which process is the job now.
    kill('KILL', $actor->wait_start->{pid});
    wait_for('the next one listens', sub { $actor->count(qr/^start/) == 2 && (() = slurp($master->{log}) =~ /ready/g) == 3 });
    kill('KILL', $other);
    $actor->wait_for_line(qr/^INT$/);
    $master->signal('CONT');
    $stubborn->wait_start(2);
    is($actor->count(qr/^TERM$/), 0, 'it is not told to hurry');
    spew($box->path('go'), '');
    my $start = $actor->wait_start(3);
    is("$start->{restored} $start->{count}", 'clean 1', 'its dump is committed');
    $master->wait_ready($_) for qw(orders clicks);
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
    is_deeply([$stubborn->survivors, $actor->survivors], [], 'nothing is left of any job');
};

subtest 'a rescue worker is killed, too' => sub {
    my ($box, $actor, $master) = running([]);

    kill('KILL', worker_of($master));
    for (1 .. 2) {
        $master->wait_log(qr/a rescue worker .*pid=\d+/);
        my @rescues = $master->log_text =~ /a rescue worker .*pid=(\d+)/g;
        kill('KILL', $rescues[-1]);
    }
    wait_for('the job runs again', sub { $actor->count(qr/^start/) == 2 });
    my $start = $actor->wait_start(2);
    is("$start->{restored} $start->{count}", 'clean 1', 'from the dump, and it is called what it was');
    is($actor->count(qr/^overlap/), 0, 'alone');
    $master->wait_ready('orders');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
};

subtest 'a worker is killed while it waits' => sub {
    my ($box, $actor, $master) = running([]);
    my $next = successor($box, $actor);
    my $worker = worker_of($next);

    kill('KILL', $worker);
    wait_for('another one waits', sub { (worker_of($next) // $worker) != $worker });
    $next->wait_state(orders => 'standby');
    ok(alive($actor->wait_start->{pid}), 'the owner is not concerned');
    $master->signal('INT');
    is($master->wait_exit, 0, 'the owner goes');
    takes_over($next, $actor, 'clean 1');
};

subtest 'master and worker are killed at once' => sub {
    my ($box, $actor, $master, $hold) = holding('early');

    wait_for('a backup', sub { $master->job('orders')->{seq} });
    my $next = successor($box, $actor);
    kill('KILL', $master->pid, worker_of($master));
    $master->wait_exit;
    $actor->wait_for_line(qr/^INT$/);
    # The lock is free, as nobody has it; but the job dumps.
    $next->wait_log(qr/waits for .*left/);
    is($actor->count(qr/^start/), 1, 'the next owner does not start yet');
    spew($hold, '');
    takes_over($next, $actor, 'crash 0');
};

subtest 'a worker, then its rescue worker and the master are killed, and the job dumps under another title' => sub {
    my ($box, $actor, $master, $hold) = holding('early', 'rename');
    my $worker = worker_of($master);

    wait_for('a backup', sub { $master->job('orders')->{seq} });
    my $next = successor($box, $actor);
    kill('KILL', $worker);
    $master->wait_log(qr/rescue.*took the lock/);
    my $rescue = wait_for('another worker', sub { my $now = worker_of($master); $now && $now != $worker ? $now : undef });
    kill('KILL', $master->pid, $rescue);
    $master->wait_exit;
    $next->wait_log(qr/waits for .*left/);
    is($actor->count(qr/^start/), 1, 'the next owner does not start yet');
    spew($hold, '');
    takes_over($next, $actor, 'crash 0');
};

subtest 'master and worker are killed, and the job has a stubborn family' => sub {
    my ($box, $actor, $master) = running(['early', 'family']);

    wait_for('a backup', sub { $master->job('orders')->{seq} });
    kill('KILL', $master->pid, worker_of($master));
    $master->wait_exit;
    takes_over($box->start($box->config('web-2', job_of($actor, []))), $actor, 'crash 0');
};

subtest 'master and worker are killed, and the job does not listen' => sub {
    my ($box, $actor, $master) = running(['early', 'ignore=INT,TERM', 'family']);

    wait_for('a backup', sub { $master->job('orders')->{seq} });
    kill('KILL', $master->pid, worker_of($master));
    $master->wait_exit;
    takes_over($box->start($box->config('web-2',
        job_of($actor, [], { stop_timeout => '5100ms', hurry_timeout => '5s' }))), $actor, 'crash 0');
    is($actor->count(qr/^TERM$/), 1, 'it was told to hurry, then killed');
};

subtest 'who waits for what the dead left can be stopped' => sub {
    my ($box, $actor, $master) = running(['hold=/nonexistent']);
    my $old = $actor->wait_start->{pid};

    kill('KILL', $master->pid, worker_of($master));
    $master->wait_exit;
    my $next = $box->start($box->config('web-2', job_of($actor, [])));
    $next->wait_log(qr/waits for .*left/);
    $next->signal('INT');
    is($next->wait_exit, 0, 'exit status');
    ok(alive($old), 'it was given its time');
    kill('KILL', $old);
    takes_over($box->start($box->config('web-3', job_of($actor, []))), $actor, 'none 0');
};

subtest 'a job that gave up root hears of its worker\'s death all the same' => sub {
    plan(skip_all => 'needs root') if $> != 0;
    my ($box, $actor, $master) = running(['nodump', 'drop=65534', 'once']);

    $actor->wait_for_line(qr/^dropped$/);
    kill('KILL', worker_of($master));
    $actor->wait_for_line(qr/^INT$/);
    is($actor->count(qr/^INT$/), 1, 'once');
    $actor->wait_for_line(qr/^dropped$/, 2);
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
};

# As file servers do for each request. Its time has no end.
subtest 'so does one that was another user for a moment' => sub {
    plan(skip_all => 'needs root') if $> != 0;
    my ($box, $actor, $master) = running(['drop=65534', 'back', 'once'], { stop_timeout => 'infinity' });
    my $next = successor($box, $actor);

    $actor->wait_for_line(qr/^dropped$/);
    kill('KILL', worker_of($master));
    $actor->wait_for_line(qr/^dumped 1$/);
    is($actor->count(qr/^INT$/), 1, 'once');
    $master->wait_state(orders => 'standby');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
    takes_over($next, $actor, 'clean 1');
};

subtest 'a worker is killed right after it has started the job again' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
    my $box = Graceful::Test->new;
    my $job = $box->job('orders', <<'END', 'exit 7');
echo "$GRACEFUL_RESTORED" >>"$dir/starts"
[ "$(wc -l <"$dir/starts")" = 1 ] && { echo 1 | dump; exit 0; }
END
    my $conf = $box->config('web-1', { orders => { command => $job, %limits, restart_min => '10ms', restart_max => '10ms' } });
    my $master = $box->start($conf, sub { $ENV{GRACEFUL_FAULT} = 'worker.after_spawn=kill::2' });

    $master->wait_log(qr/worker was ended by SIGKILL/);
    $master->wait_log(qr/started the job \S+ epoch=2 /);
    my ($told) = $master->log_text =~ /started the job \S+ epoch=2 restored=(\w+)/;
    is($told, 'crash', 'it is not told that the run before dumped, as the one before that did');
    $master->signal('INT');
    $master->wait_exit;
};

subtest 'a worker is killed after it has lost its lock' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $master = $box->start($box->config('web-1', job_of($actor, ['family'], { restart_min => '10ms' })),
        sub { $ENV{GRACEFUL_FAULT} = 'worker.after_loss=kill' });

    $master->wait_ready('orders');
    rename($box->path('local/graceful/jobs/orders/lock'), $box->path('lock')) or die "rename: $!\n";
    $master->wait_log(qr/worker was ended by SIGKILL/);
    $actor->wait_start(2);
    is($actor->count(qr/^overlap/), 0, 'what is left of its job is gone before the next run begins');
    $master->wait_ready('orders');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
    is_deeply([$actor->survivors], [], 'nothing is left of any job');
};

done_testing;
