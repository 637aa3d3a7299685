#!/usr/bin/perl
# Who hears of a signal, and how often: groups, terminals, shells, and single workers.
use strict;
use warnings;

use Fcntl qw(O_RDWR);
use FindBin;
use lib "$FindBin::Bin/../lib";
use POSIX qw(SIGRTMIN setpgid setsid);
use Test::More;

use Graceful::Actor;
use Graceful::Pty qw(open_pty);
use Graceful::Test qw(alive slurp spew wait_for);

my %limits = (stop_timeout => 'infinity', hurry_timeout => '60s');

# A box, its master with one job that runs, and the journal of that job.
sub running {
    my ($words, $prepare) = @_;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $master = $box->start(
        $box->config('web-1', { orders => { command => $actor->command(@{$words}), %limits } }), $prepare);

    $master->wait_ready('orders');
    return ($box, $actor, $master);
}

# A second master that waits for the job of the first.
sub standby {
    my ($box, $actor) = @_;
    my $second = $box->start($box->config('web-2', { orders => { command => $actor->command, %limits } }));

    $second->wait_state(orders => 'standby');
    $second->wait_log(qr/waits for the lock, held by web-1/);
    return $second;
}

sub told_once {
    my ($actor, $master) = @_;

    is($master->wait_exit, 0, 'exit status');
    is_deeply([grep { /^[A-Z]+\d?$/ } $actor->lines], ['INT'], 'the job was told once, and by nobody else');
    is(scalar(() = $master->log_text =~ /stopping on/g), 1, 'so was the master');
    is_deeply([$actor->survivors], [], 'nothing of the job is left');
    return;
}

subtest 'a signal to the whole group' => sub {
    my ($box, $actor, $master) = running([], sub { setpgid(0, 0) });

    kill('INT', -$master->pid);
    told_once($actor, $master);
};

use constant TIOCSWINSZ => 0x5414;    # Linux's number

# The child becomes the leader of the terminal's session; its group is the foreground group.
sub running_in {
    my ($name) = @_;

    return running([], sub {
        setsid();
        sysopen(my $tty, $name, O_RDWR) or POSIX::_exit(126);
        POSIX::dup2(fileno($tty), 0);
    });
}

subtest 'Ctrl-C in a terminal' => sub {
    my ($terminal, $name) = open_pty();

    plan(skip_all => 'no pseudo-terminals here') if !defined $name;
    my ($box, $actor, $master) = running_in($name);
    syswrite($terminal, "\x03");
    $master->wait_log(qr/stopping on SIGINT from the terminal/);
    told_once($actor, $master);
};

# The kernel's WINCH is no request to drain.
subtest 'a terminal whose size changes' => sub {
    my ($terminal, $name) = open_pty();

    plan(skip_all => 'no pseudo-terminals here') if !defined $name;
    my ($box, $actor, $master) = running_in($name);
    my $size = pack('S4', 40, 100, 0, 0);
    ok(ioctl($terminal, TIOCSWINSZ, $size), 'resized');
    # Signals are heard in the order of their numbers: WINCH (28) before RTMIN+1.
    kill(SIGRTMIN() + 1, $master->pid);
    $master->wait_log(qr/debug +master\S* +the log was opened anew/);
    ok(!$master->status->{draining}, 'drains nothing');
    $master->signal('INT');
    told_once($actor, $master);
};

subtest 'a terminal that goes away' => sub {
    my ($terminal, $name) = open_pty();

    plan(skip_all => 'no pseudo-terminals here') if !defined $name;
    my ($box, $actor, $master) = running_in($name);
    close($terminal);
    $master->wait_log(qr/the terminal is gone, the jobs run on/);
    ok(!exists $master->status->{config}, 'and nothing is reloaded');
    $master->signal('INT');
    told_once($actor, $master);
};

subtest 'a shell that started it with "&" has SIGINT ignored' => sub {
    my ($box, $actor, $master) = running([], sub { $SIG{$_} = 'IGNORE' for qw(INT QUIT CHLD) });

    $master->signal('INT');
    told_once($actor, $master);
};

subtest 'a parent that blocked every signal' => sub {
    my ($box, $actor, $master) = running([], sub {
        my $all = POSIX::SigSet->new;
        $all->fillset;
        POSIX::sigprocmask(POSIX::SIG_SETMASK(), $all);
    });

    $master->signal('TERM');
    told_once($actor, $master);
};

# A master that hangs before it has come to its loop: it warns of something, and nobody reads that.
subtest 'signals that come while it starts' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $conf = $box->config('web-1', { orders => { command => $actor->command, %limits } }, { metrics_file => $box->path('odd') });

    pipe(my $in, my $out) or die "cannot make a pipe: $!\n";
    $out->blocking(0);
    1 while syswrite($out, 'x' x 65536) || syswrite($out, 'x');
    $out->blocking(1);
    my $master = $box->start($conf, sub { open(STDERR, '>&', $out) });
    close($out);
    my $pid = $master->pid;
    wait_for('it to warn', sub { slurp("/proc/$pid/wchan") =~ /pipe/ && readlink("/proc/$pid/exe") =~ /graceful/ });
    kill($_, $pid) for qw(HUP WINCH USR1 USR2 TTIN TTOU);
    my $log = '';
    wait_for('it to be heard', sub { sysread($in, $log, 65536, length($log)); $log =~ /draining on SIGWINCH/ });
    wait_for('what it was told', sub { my $s = $master->status; $s->{config} && $s->{draining} });
    kill('INT', $pid);
    is($master->wait_exit, 0, 'nothing of that has ended it');
};

subtest 'a worker that is told INT hands over, and queues behind' => sub {
    my ($box, $actor, $first) = running([]);
    my $second = standby($box, $actor);
    my $worker = $first->job('orders')->{worker_pid};

    kill('INT', $worker);
    $actor->wait_for_line(qr/^start .*restored=clean count=1 by=web-2$/);
    $first->wait_state(orders => 'standby');
    isnt($first->job('orders')->{worker_pid}, $worker, 'a new worker waits');
    $second->signal('INT');
    is($second->wait_exit, 0, 'the second master goes');
    $actor->wait_for_line(qr/^start .*restored=clean count=2 by=web-1$/);
    $first->wait_ready('orders');
    $first->signal('INT');
    is($first->wait_exit, 0, 'and then the first');
    is($actor->count(qr/^overlap/), 0, 'never two at once');
};

subtest 'a worker that is told INT again and again' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $hold = $box->path('go');
    my $master = $box->start($box->config('web-1',
        { orders => { command => $actor->command("hold=$hold", 'once'), %limits } }));

    $master->wait_ready('orders');
    my $worker = $master->job('orders')->{worker_pid};
    kill('INT', $worker);
    $actor->wait_for_line(qr/^INT$/);
    for (1 .. 20) {
        kill($_ % 2 ? 'INT' : 'TERM', $worker);
        select(undef, undef, undef, 0.002);
    }
    spew($hold, '');
    $actor->wait_start(2);
    is($actor->count(qr/^INT$/), 1, 'the job heard of it once');
    is($actor->count(qr/^TERM$/), 0, 'and is not hurried');
    $master->wait_ready('orders');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
};

subtest 'a worker that is told QUIT kills its job and hands over' => sub {
    my ($box, $actor, $master) = running(['early']);

    wait_for('a backup', sub {
        kill('USR1', $master->job('orders')->{worker_pid});
        $master->job('orders')->{seq};
    });
    kill('QUIT', $master->job('orders')->{worker_pid});
    $actor->wait_for_line(qr/^start .*restored=crash count=0/);
    is($actor->count(qr/^INT|^TERM|^dumped/), 0, 'no dump');
    $master->wait_ready('orders');
    $master->signal('INT');
    is($master->wait_exit, 0, 'the master is not concerned');
};

subtest 'USR1 asks for a checkpoint: of every job, or of one' => sub {
    my $box = Graceful::Test->new;
    my %actors = map { $_ => Graceful::Actor->new($box, $_) } qw(orders clicks);
    my $master = $box->start($box->config('web-1', { map { $_ => {
        command => $actors{$_}->command, checkpoint => 'infinity', checkpoint_signal => 'USR1', %limits,
    } } keys %actors }));

    for my $job (keys %actors) {
        $master->wait_ready($job);
    }
    $master->signal('USR1');
    for my $job (keys %actors) {
        wait_for("$job is saved", sub { ($master->job($job)->{seq} // 0) == 1 });
    }
    kill('USR1', $master->job('orders')->{worker_pid});
    wait_for('orders is saved again', sub { ($master->job('orders')->{seq} // 0) == 2 });
    is($actors{clicks}->count(qr/^USR1$/), 1, 'the other one was not asked again');
    is($master->job('clicks')->{clean} ? 1 : 0, 0, 'a periodic backup is not called clean');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
};

subtest 'the manual tells of every signal' => sub {
    my ($table) = slurp("$FindBin::Bin/../../man/graceful.8") =~ /^\.Sh SIGNALS\n(.*?)^\.El/ms;

    like($table, qr/^\.It (?:\w+, )*$_\b/m, $_) for qw(INT TERM QUIT HUP USR1 USR2 WINCH TTOU TTIN), 'RTMIN\+1';
};

subtest 'signals that mean nothing to a worker harm nobody' => sub {
    my ($box, $actor, $master) = running([]);
    my $pid = $actor->wait_start->{pid};

    kill($_, $master->job('orders')->{worker_pid}) for qw(HUP USR2 TTIN TTOU WINCH);
    $master->signal('USR2');
    $master->wait_log(qr/SIGUSR2 .* no use for it/);
    # Its worker answers, and has taken the others.
    kill('USR1', $master->job('orders')->{worker_pid});
    ok(alive($pid), 'the job runs on');
    $master->signal('INT');
    told_once($actor, $master);
};

subtest 'standby: a stop just leaves the queue' => sub {
    my ($box, $actor, $first) = running([]);
    my $second = standby($box, $actor);

    $second->signal('INT');
    is($second->wait_exit, 0, 'exit status');
    is($actor->count(qr/^start/), 1, 'nothing was started');
    ok(alive($actor->wait_start->{pid}), 'the owner runs on');
    my $third = standby($box, $actor);
    $third->signal('QUIT');
    is($third->wait_exit, 0, 'QUIT, too');
    $first->signal('INT');
    is($first->wait_exit, 0, 'the owner stops');
};

subtest 'a second master with the same run_dir or work_dir' => sub {
    my ($box, $actor, $first) = running([]);
    my $pid = $first->pid;

    for my $key (qw(run_dir work_dir)) {
        my $second = $box->start($box->config("same-$key",
            { orders => { command => $actor->command } }, { $key => $first->{$key} }));

        is($second->wait_exit, 1, "$key: exit status");
        like($second->log_text, qr/another master runs here, pid $pid\b.*$key/, 'names the first one');
        is($first->job('orders')->{state}, 'running', 'which is not disturbed');
        ok(-e "$first->{$key}/graceful.pid", 'and keeps its PID file');
    }
    $first->signal('INT');
    told_once($actor, $first);
};

done_testing;
