#!/usr/bin/perl
# Stopping the master: gracefully, in a hurry, at once; how long a job is given, and what the exit status says.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use POSIX qw(WUNTRACED);
use Test::More;

use Graceful::Actor;
use Graceful::Test qw(spew wait_for);

# A box, its master with one job that runs, and the journal of that job.
sub running {
    my ($words, $more) = @_;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $master = $box->start($box->config('web-1', { orders => { command => $actor->command(@{$words}), %{ $more // {} } } }));

    $master->wait_ready('orders');
    return ($box, $actor, $master);
}

# What a job that starts on the same machine afterwards finds.
sub next_start {
    my ($box, $actor) = @_;
    my $starts = $actor->count(qr/^start/);
    my $next = $box->start($box->config('web-2', { orders => { command => $actor->command } }));
    my $start = $actor->wait_start($starts + 1);

    $next->wait_ready('orders');
    $next->signal('INT');
    is($next->wait_exit, 0, 'the next owner works');
    return $start;
}

my %infinite = (stop_timeout => 'infinity', hurry_timeout => '60s');

my %quick = (stop_timeout => 'infinity', hurry_timeout => '100ms');

for my $signal (qw(INT TERM)) {
    subtest "$signal: the job dumps, commits, releases; the master goes last" => sub {
        my ($box, $actor, $master) = running(['family'], \%quick);

        $master->signal($signal);
        is($master->wait_exit, 0, 'exit status');
        is($actor->count(qr/^INT$/), 1, 'told once');
        is($actor->count(qr/^end$/), 1, 'came to its own end');
        is_deeply([$actor->survivors], [], 'nothing of the job is left');
        ok(!-e "$master->{run_dir}/graceful.pid", 'no PID file');
        like($master->log_text, qr/
            the\ job\ exited .* killing\ every\ process .* committed\ the\ state\ and\ released
            .* stopped:\ jobs=1\ .* locks_released=1\ .* exit=0
        /xs, 'in this order');
        my $start = next_start($box, $actor);
        is("$start->{restored} $start->{count}", 'clean 1', 'the next owner resumes the dump');
        is($actor->count(qr/^overlap/), 0, 'and met nobody');
    };
}

# It is given time to install a handler, which it never does; but not until it is told to hurry.
subtest 'a job without a handler hears the signal to stop before the one to hurry' => sub {
    my $box = Graceful::Test->new;
    my $job = { command => ['/bin/sleep', 'infinity'], stop_timeout => '20s', hurry_timeout => '16s' };
    my $master = $box->start($box->config('web-1', { orders => $job }));

    $master->wait_log(qr/started the job/);
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
    like($master->log_text, qr/the job was ended by SIGINT/, 'it ended of the first');
};

# Its last file may be any age: what it did since is in none.
subtest 'a job without a handler that has left a state' => sub {
    my $box = Graceful::Test->new;
    my $job = { command => [ $box->script(plain => 'echo old >"$GRACEFUL_STATE.tmp" && mv "$GRACEFUL_STATE.tmp" "$GRACEFUL_STATE"
exec sleep infinity') ], checkpoint => 'infinity' };
    my $master = $box->start($box->config('web-1', { orders => $job }));

    wait_for('its state', sub { -s $box->path('work-web-1/jobs/orders/state') });
    $master->signal('INT');
    is($master->wait_exit, 3, 'the signal that ended it made no dump');
    like($master->log_text, qr/committed the state and released the lock .* size=4 clean=0/, 'what it left counts as a backup');
};

subtest 'a second INT hurries, a third kills' => sub {
    my ($box, $actor, $master) = running(['hold=/nonexistent'], \%infinite);

    $master->signal('INT');
    $actor->wait_for_line(qr/^INT$/);
    is($master->ended, 0, 'infinity waits');
    $master->signal('INT');
    $actor->wait_for_line(qr/^TERM$/);
    wait_for('the status says so', sub { ($master->job('orders')->{state} // '') eq 'dumping' });
    $master->signal('INT');
    is($master->wait_exit, 3, 'not dumped');
    my $job = $master->job('orders');
    ok($job->{unclean} && !exists $job->{size}, 'the last status says so, and that there is no older state');
    is($actor->count(qr/^INT$/), 1, 'one INT for the job');
    is($actor->count(qr/^TERM$/), 1, 'one TERM');
    is(next_start($box, $actor)->{restored}, 'none', 'there was no state before');
};

subtest 'hurried by TERM, a job dumps and exits 0' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $hold = $box->path('go');
    my $master = $box->start($box->config('web-1',
        { orders => { command => $actor->command("hold=$hold"), %infinite } }));

    $master->wait_ready('orders');
    $master->signal('TERM');
    $actor->wait_for_line(qr/^INT$/);
    $master->signal('INT');
    $actor->wait_for_line(qr/^TERM$/);
    spew($hold, '');
    is($master->wait_exit, 0, 'exit status');
    is_deeply([@{ next_start($box, $actor) }{qw(restored count)}], ['clean', 1], 'the dump counts');
};

subtest 'a hurried job that does not listen is killed after hurry_timeout' => sub {
    my ($box, $actor, $master) = running(['early', 'ignore=INT,TERM', 'family'],
        { stop_timeout => 'infinity', hurry_timeout => '100ms', checkpoint => '100ms' });

    wait_for('a backup', sub { $master->job('orders')->{seq} });
    $master->signal('INT');
    $actor->wait_for_line(qr/^INT$/);
    $master->signal('INT');
    is($master->wait_exit, 3, 'exit status');
    is_deeply([$actor->survivors], [], 'nothing of the job is left');
    like($master->log_text, qr/locks_released=1 unclean=1/, 'the lock was released');
    ok($master->job('orders')->{unclean} && $master->job('orders')->{size}, 'the last status says so');
    my $start = next_start($box, $actor);
    is("$start->{restored} $start->{count}", 'crash 0', 'the last good state is kept and marked');
    is($actor->count(qr/^overlap/), 0, 'and met nobody');
};

subtest 'QUIT kills at once, without a dump' => sub {
    my ($box, $actor, $master) = running(['early', 'family'], { %infinite, checkpoint => '100ms' });

    wait_for('a backup', sub { $master->job('orders')->{seq} });
    $master->signal('QUIT');
    is($master->wait_exit, 3, 'exit status');
    is_deeply([grep { /^(?:INT|TERM|dumped)/ } $actor->lines], [], 'the job was not asked');
    is_deeply([$actor->survivors], [], 'nothing of it is left');
    is(next_start($box, $actor)->{restored}, 'crash', 'the lock is free');
};

subtest 'QUIT after INT' => sub {
    my ($box, $actor, $master) = running(['hold=/nonexistent'], \%infinite);

    $master->signal('INT');
    $actor->wait_for_line(qr/^INT$/);
    $master->signal('QUIT');
    is($master->wait_exit, 3, 'exit status');
    is($actor->count(qr/^TERM$/), 0, 'no TERM on the way');
};

subtest 'TERM and KILL come by themselves with stop_timeout' => sub {
    my ($box, $actor, $master) = running(['ignore=INT,TERM'], { stop_timeout => '5100ms', hurry_timeout => '5s' });

    $master->signal('INT');
    is($master->wait_exit, 3, 'exit status');
    is_deeply([grep { /^(?:INT|TERM)$/ } $actor->lines], [qw(INT TERM)], 'INT, then TERM');
    like($master->log_text, qr/SIGINT to the job.*has to hurry: sent SIGTERM.*killing every process of the job: the time that it has to dump is over/s, 'in this order');
};

subtest 'EXTEND_TIMEOUT_USEC gives a dump the time it asks for' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $other = Graceful::Actor->new($box, 'clicks');
    my $hold = $box->path('go');
    my %limits = (stop_timeout => '8s', hurry_timeout => '2s');
    my $master = $box->start($box->config('web-1', {
        orders => { command => $actor->command("hold=$hold", 'extend=600000000'), %limits },
        clicks => { command => $other->command('hold=/nonexistent', 'ignore=INT,TERM'), %limits },
    }));

    wait_for('both ready', sub { $master->job('orders')->{ready} && $master->job('clicks')->{ready} });
    $master->signal('INT');
    # The other one has the same limits and did not ask: when it is gone, this one's would be over, too.
    wait_for('the other job is killed', sub { $master->log_text =~ /clicks.*the job was ended by SIGKILL/ });
    is($actor->count(qr/^TERM$/), 0, 'not hurried');
    spew($hold, '');
    is($master->wait_exit, 3, 'one dump of two');
    is($actor->count(qr/^dumped 1$/), 1, 'the one that asked');
};

subtest 'an exit status other than 0 marks the state' => sub {
    my ($box, $actor, $master) = running(['exit=5'], \%infinite);

    $master->signal('INT');
    is($master->wait_exit, 3, 'exit status');
    my $start = next_start($box, $actor);
    is("$start->{restored} $start->{count}", 'crash 1', 'what it wrote is kept, as unclean');
};

subtest 'a lock that cannot be released: status 4' => sub {
    my ($box, $actor, $master) = running(['hold=/nonexistent'], \%infinite);
    my $worker = $master->job('orders')->{worker_pid};

    $master->signal('INT');
    $actor->wait_for_line(qr/^INT$/);
    # Somebody removes the lock file, so the rescue worker cannot prove that the job is its own. The worker itself does not see that.
    kill('STOP', $worker);
    unlink($box->path('local') . '/graceful/jobs/orders/lock') or die "no lock file: $!\n";
    kill('KILL', $worker);
    wait_for('the master has noticed', sub { $master->log_text =~ /worker was ended by SIGKILL/ });
    $master->signal('QUIT');
    is($master->wait_exit, 4, 'exit status');
    is_deeply([$actor->survivors], [], 'still, nothing of the job is left');
};

subtest 'a stop while a job is stopped by SIGSTOP' => sub {
    my ($box, $actor, $master) = running([], \%infinite);

    kill('STOP', $actor->wait_start->{pid});
    $master->signal('INT');
    is($master->wait_exit, 0, 'it is woken to dump');
    is($actor->count(qr/^dumped/), 1, 'and did');
};

subtest 'a stop while its worker is stopped by SIGSTOP' => sub {
    my ($box, $actor, $master) = running([], \%infinite);

    kill('STOP', $master->job('orders')->{worker_pid});
    $master->signal('INT');
    is($master->wait_exit, 0, 'it is woken to hand over');
    is($actor->count(qr/^dumped/), 1, 'the job dumped');
};

subtest 'a stop during the backoff' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $master = $box->start($box->config('web-1',
        { orders => { command => $actor->command('crash'), restart_min => '1h', restart_max => '1h', %infinite } }));

    # Not already while what is left of the job is ended: that is called so, too.
    $master->wait_log(qr/orders: the job is started again in/);
    $master->wait_state(orders => 'backoff');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
    is($actor->count(qr/^start/), 1, 'not started again');
};

# The jobs are held; returns what the command says.
sub ask {
    my ($box, $master, @words) = @_;

    return ($box->run($box->graceful, 'stop', '--no-wait', @words, '--run-dir', $master->{run_dir}))[0];
}

# It was heard, and nothing came of it, for the $n-th time.
sub unchanged {
    my ($master, $n) = @_;

    return wait_for("nothing changes $n times", sub { (() = $master->log_text =~ /stopping already, nothing changes/g) >= $n });
}

subtest 'graceful stop, again and again, and then the signal of an init system' => sub {
    my ($box, $actor, $master) = running(['hold=/nonexistent'], \%infinite);

    is(ask($box, $master), 0, 'asked');
    $actor->wait_for_line(qr/^INT$/);
    for my $n (1 .. 3) {
        is(ask($box, $master), 0, 'asked again');
        unchanged($master, $n);
    }
    $master->signal('TERM');
    unchanged($master, 4);
    ok(!$master->status->{hurry}, 'nobody is hurried');
    is_deeply([grep { /^[A-Z]+$/ } $actor->lines], ['INT'], 'the job was told once');
    $master->signal('INT');
    $actor->wait_for_line(qr/^TERM$/);
    $master->signal('TERM');
    is($master->wait_exit, 3, 'signals without a level count: the second hurries, the third kills');
};

subtest 'graceful stop --hurry, and --kill: at once, and no further' => sub {
    my ($box, $actor, $master) = running(['hold=/nonexistent'], \%infinite);

    is(ask($box, $master, '--hurry'), 0, 'asked');
    $actor->wait_for_line(qr/^TERM$/);
    is(ask($box, $master, '--hurry'), 0, 'asked again');
    unchanged($master, 1);
    is(ask($box, $master), 0, 'and for less');
    unchanged($master, 2);
    $master->signal('INT');
    unchanged($master, 3);
    ok(!$master->ended, 'nobody is killed');
    is(ask($box, $master, '--kill'), 0, 'asked for more');
    is($master->wait_exit, 3, 'exit status');
};

# Signals coalesce: of two INT the second is lost, but a TERM is not.
subtest 'graceful stop --hurry right after graceful stop' => sub {
    my ($box, $actor, $master) = running(['hold=/nonexistent'], \%infinite);

    kill('STOP', $master->pid);
    is(ask($box, $master, @$_), 0, "stop @$_") for [], [], ['--hurry'], ['--hurry'], [];
    kill('CONT', $master->pid);
    $actor->wait_for_line(qr/^TERM$/);
    ok(!$master->ended, 'hurried, not killed');
    $master->signal('QUIT');
    is($master->wait_exit, 3, 'exit status');
};

subtest 'a value that names no level' => sub {
    plan(skip_all => 'kill(1) here has no --queue') if system(q{env kill --help 2>&1 | grep -q -e --queue}) != 0;
    my ($box, $actor, $master) = running(['hold=/nonexistent'], \%infinite);
    my $queue = sub { return system('env', 'kill', '-INT', '--queue', $_[0], $master->pid) };

    is($queue->(1), 0, '1');
    $actor->wait_for_line(qr/^INT$/);
    is($queue->(1), 0, 'again');
    unchanged($master, 1);
    for my $n (2, 3) {
        is($queue->(7), 0, '7');
        $n == 2 ? unchanged($master, $n) : $actor->wait_for_line(qr/^TERM$/);
    }
    is($queue->(3), 0, '3');
    is($master->wait_exit, 3, 'kills');
};

# What a backup saved before is not dumped by the stop.
subtest 'the bytes that the last line counts' => sub {
    my $box = Graceful::Test->new;
    my %jobs = (
        dumps => [ 'echo 123 | dump', 'echo 12345 | dump' ],
        fails => [ 'echo 123 | dump', 'exit 1' ],
        fails_late => [ 'echo 123 | dump', 'echo 12345 | dump; exit 1' ],
    );
    my $master = $box->start($box->config('web-1', {
        map { $_ => { command => $box->job($_, @{ $jobs{$_} }), checkpoint => '100ms' } } keys %jobs }));

    wait_for("a backup of $_", sub { $master->job($_)->{seq} }) for sort keys %jobs;
    $master->signal('INT');
    is($master->wait_exit, 3, 'exit status');
    like($master->log_text, qr/ stopped: jobs=3 dumped_bytes=6 locks_released=3 unclean=2 /, 'of the one that dumped cleanly');
};

# A full disk, say: the first status that the command can read is the last one, when everything has been given up. So it sleeps
# from when it has told the master until that has ended.
subtest 'graceful stop of a master that could not tell what it held' => sub {
    my $box = Graceful::Test->new;
    my $stop = 'until [ -e "$dir/go" ]; do sleep 0.01; done; echo 2 | dump';
    my $master = $box->start($box->config('web-1', { orders => { command => $box->job('orders', 'echo 1 | dump', $stop), stop_timeout => 'infinity' } }));
    my $file = "$master->{run_dir}/status.json";

    $master->wait_state(orders => 'running');
    wait_for('a directory in its place', sub { unlink($file); return mkdir($file) });
    my $command = $box->begin($box->graceful, 'stop', '--run-dir', $master->{run_dir});
    $master->wait_log(qr/SIGINT from pid $command->{pid}\b/);
    kill('STOP', $command->{pid});
    waitpid($command->{pid}, WUNTRACED);
    rmdir($file) or die "$file: $!\n";
    spew($box->path('go'), '');
    is($master->wait_exit, 0, 'the master stops');
    kill('CONT', $command->{pid});
    my ($status, $out) = $box->finish($command);
    is($status, 0, 'exit status of the command');
    like($out, qr/^stopped: pid \d+, every state dumped, every lock released, /m, 'it does not claim that nothing was held');
};

subtest 'a standby has no lock to release' => sub {
    my ($box, $actor, $master) = running([], {});
    my $next = $box->start($box->config('web-2', { orders => { command => $actor->command } }));

    $next->wait_state(orders => 'standby');
    my ($status, $out) = $box->run($box->graceful, 'stop', '--run-dir', $next->{run_dir});
    is($status, 0, 'exit status');
    like($out, qr/^stopped: pid \d+, nothing was held, /, 'the command says so, and nothing else');
    like($next->log_text, qr/ stopped: jobs=1 dumped_bytes=0 locks_released=0 unclean=0 left=0 /, 'so does the log');
    $master->signal('INT');
    is($master->wait_exit, 0, 'the owner stops');
    like($master->log_text, qr/ locks_released=1 /, 'and had one');
};

subtest 'many jobs, some of which do not dump' => sub {
    my $box = Graceful::Test->new;
    my %actors = map { $_ => Graceful::Actor->new($box, $_) } qw(a b c d e f);
    my %words = (b => ['exit=1'], d => ['nodump'], f => ['ignore=INT']);
    my $master = $box->start($box->config('web-1', {
        map { $_ => {
            command => $actors{$_}->command(@{ $words{$_} // [] }), %infinite,
            $_ eq 'f' ? (stop_timeout => '10s', hurry_timeout => '9900ms') : (),
        } } keys %actors }));

    for my $job (keys %actors) {
        $master->wait_ready($job);
    }
    $master->signal('INT');
    is($master->wait_exit, 3, 'exit status');
    like($master->log_text, qr/stopped: jobs=6 .*locks_released=6 unclean=1 left=0/, 'every lock released');
    is($_->count(qr/^INT$/), 1, "$_->{name} was told once") for values %actors;
};

done_testing;
