#!/usr/bin/perl
# Under Upstart, as t/lib/Graceful/Upstart.pm plays it: the job file as it is installed, and the ways in which job files
# that look as good have lost states.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use POSIX qw(:sys_wait_h);
use Test::More;

use Graceful::Actor;
use Graceful::Pty qw(open_pty);
use Graceful::Test qw(alive build_dir end_of slurp spew wait_for);
use Graceful::Upstart;

my $sample = slurp(build_dir() . '/init/graceful.conf');

plan(skip_all => 'no pseudo-terminals here') if !open_pty();

# A box, the journal of its job "orders", and an Upstart with a job file. $edit gets that as $_: by default it is the one that is
# installed, for this program and a configuration of the box.
sub set_up {
    my ($words, $edit) = @_;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $conf = $box->config('web-1', { orders => {
        command => $actor->command(map { s/^hold$/'hold=' . $box->path('go')/er } @{$words}),
        stop_timeout => '200s', hurry_timeout => '60s',
    } });
    # For what the box knows of a master: its files.
    my $master = bless({ run_dir => $box->path('run-web-1'), instance => 'web-1' }, 'Graceful::Test::Master');
    local $_ = $sample;

    s{^exec \S+/graceful (.*) -c \S+$}{exec ${\$box->graceful} $1 -c $conf}m or die "the job file has no exec line\n";
    $edit->($box) if $edit;
    return ($box, $actor, Graceful::Upstart->new($box, $_), $master, $conf);
}

# While Upstart looks after its job.
sub wait_job {
    my ($upstart, $master, $state) = @_;

    return wait_for("orders is $state", sub {
        $upstart->state;
        my $status = $master->status;
        my $job = $status->{jobs}{orders};
        return ($job->{state} // '') eq $state && alive($status->{pid}) && ($state ne 'running' || $job->{ready});
    });
}

# The status file's last word of a master.
sub last_word {
    my ($master, $pid) = @_;

    return wait_for("master $pid says its last word", sub {
        my $status = $master->status;
        return $status->{pid} == $pid && defined $status->{exit} ? "exit $status->{exit}" : undef;
    });
}

subtest 'its kill timeout' => sub {
    my $box = Graceful::Test->new;
    my ($seconds) = $sample =~ /^kill timeout (\d+)$/m;
    my $conf = $box->sample;
    my ($status, $out, $err) = $box->run($box->graceful, 'check', '--kill-timeout', $seconds, '-c', $conf);
    is($status, 0, 'is longer than any stop of the sample configuration') or diag($err);
    ($status, $out, $err) = $box->run($box->graceful, 'check', '--kill-timeout', 5, '-c', $conf);
    is($status, 78, 'five seconds are not');
    like($err, qr/^--kill-timeout 5: jobs\.packages: a stop may take 1m24s, which is 1m19s more: .* in \Q$conf\E$/m,
        'and it says for which job, by how much, and what to do');
    my ($enough) = $err =~ /^graceful: --kill-timeout 5 is too short for \d+ jobs? of \Q$conf\E: (\d+) would do$/m;
    unlike($err, qr/cannot be fulfilled/, 'nothing is wrong with the file');
    is(($box->run($box->graceful, 'check', '--kill-timeout', $enough, '-c', $conf))[0], 0, 'what it says is enough');
    ($status, undef, $err) = $box->run($box->graceful, 'check', '--kill-timeout', $enough - 1, '-c', $conf);
    is($status, 78, 'and one second less is not');
    unlike($err, qr/which is 0/, 'be it by nothing');
    $conf = $box->sample(sub { s{"60s"}{"infinity"} });
    ($status, $out, $err) = $box->run($box->graceful, 'check', '--kill-timeout', 1_000_000, '-c', $conf);
    is($status, 78, 'no time is enough for an infinite stop');
    like($err, qr/jobs\.packages\.stop_timeout: is infinite/, 'and it says so');
    unlike($err, qr/would do/, 'and names no time');
};

subtest 'the job file as it is' => sub {
    my ($box, $actor, $upstart, $master) = set_up([]);

    is($upstart->start, 'running', 'it starts');
    is($upstart->{stops}, 1, 'having stopped itself');
    ok(-e $box->path('run-web-1/graceful.pid'), 'when the directories were its own');
    wait_job($upstart, $master, 'running');
    my $pid = $upstart->pid;
    is($master->status->{pid}, $pid, 'Upstart tracks the master');

    $upstart->reload;
    wait_for('a reload', sub { $master->status->{config} });
    is($upstart->state, 'running', 'a reload does not end it');
    is($upstart->pid, $pid, 'nor start it again');

    ok($upstart->stop, 'a stop ends within its time');
    is($upstart->{exit}, 0, 'and in order');
    is($upstart->{stops}, 1, 'it never stopped itself again');
    is_deeply([grep { /^[A-Z]+\d?$/ } $actor->lines], ['INT'], 'the job was told once');
    is($actor->count(qr/^dumped 1$/), 1, 'and dumped');
    like($upstart->log_text, qr/stopped: jobs=1 .*exit=0\n\z/, 'the last line is in the log');
    is_deeply([$actor->survivors], [], 'nothing is left');
};

subtest 'a start that fails does not hang' => sub {
    my ($box, $actor, $upstart, $master, $conf) = set_up([]);
    my $text = slurp($conf);

    spew($conf, '{');
    is($upstart->start, 'stopped', 'a broken configuration');
    is($upstart->{exit}, 78, 'exit status');
    is($upstart->respawns, 0, 'and nobody tries again');
    spew($conf, $text =~ s{"run_dir" : "[^"]*"}{"run_dir" : "/proc/nowhere"}r);
    $upstart->{respawn} = 0;
    is($upstart->start, 'stopped', 'directories that cannot be made');
    is($upstart->{exit}, 1, 'exit status');
    is($upstart->{stops} // 0, 0, 'none of them stopped itself');
};

subtest 'nobody asked it to stop itself' => sub {
    my ($box, $actor, $upstart, $master) = set_up([], sub { s/^expect stop$//m; s/ --ready sigstop// });

    is($upstart->start, 'running', 'it starts');
    wait_job($upstart, $master, 'running');
    is($upstart->{stops} // 0, 0, 'it did not stop itself, though UPSTART_JOB is set');
    ok($upstart->stop, 'and stops');
};

subtest 'TERM and five seconds, as Upstart has it by itself' => sub {
    my ($box, $actor, $upstart, $master) = set_up(['hold'], sub { s/^kill .*\n//mg });

    is("$upstart->{kill_signal} $upstart->{kill_timeout}", 'TERM 5', 'the defaults');
    $upstart->start;
    wait_job($upstart, $master, 'running');
    ok(!$upstart->stop, 'the dump takes longer, the master is killed');
    is($actor->count(qr/^dumped|^TERM/), 0, 'the job still dumps, and was not hurried');
    is(scalar($actor->survivors), 1, 'nobody killed it');
    $upstart->start;
    wait_job($upstart, $master, 'standby');
    spew($box->path('go'), '');
    $actor->wait_for_line(qr/^start .*restored=clean count=1/);
    pass('the next master got its state');
    is($actor->count(qr/^overlap/), 0, 'never two at once');
    wait_job($upstart, $master, 'running');
    $upstart->{kill_timeout} = 60;
    ok($upstart->stop, 'and stops');
};

subtest 'the master dies: the next one starts beside its workers' => sub {
    my ($box, $actor, $upstart, $master) = set_up(['hold']);

    $upstart->start;
    wait_job($upstart, $master, 'running');
    my $old = $upstart->pid;
    my $worker_gone = end_of($master->status->{jobs}{orders}{worker_pid});
    kill('KILL', $old);
    wait_for('a respawn', sub { $upstart->state eq 'running' && $upstart->pid != $old });
    wait_job($upstart, $master, 'standby');
    ok(!$worker_gone->(), 'the old worker dumps, though its terminal answers with EIO');
    is(scalar($actor->survivors), 1, 'and so does its job');
    spew($box->path('go'), '');
    $actor->wait_for_line(qr/^start .*restored=clean count=1/);
    wait_for('the old worker ends', $worker_gone);
    is($actor->count(qr/^overlap/), 0, 'never two at once');
    wait_job($upstart, $master, 'running');
    ok($upstart->stop, 'a stop ends within its time');
    is($actor->count(qr/^dumped 2$/), 1, 'with all that was counted');
};

subtest '"graceful stop" is the end of it' => sub {
    my ($box, $actor, $upstart, $master, $conf) = set_up([]);

    $upstart->start;
    wait_job($upstart, $master, 'running');
    my ($status) = $box->run($box->graceful, 'stop', '-c', $conf);
    is($status, 0, 'exit status');
    wait_for('Upstart sees it', sub { $upstart->state eq 'stopped' });
    is($upstart->respawns, 0, 'no respawn');

    my ($other, $job, $eager, $master2, $conf2) = set_up([], sub { s/^normal exit .*\n//m });
    $eager->start;
    wait_job($eager, $master2, 'running');
    $other->run($other->graceful, 'stop', '-c', $conf2);
    wait_for('a respawn', sub { $eager->state eq 'running' && $eager->respawns == 1 });
    pass('without "normal exit" there is one');
    wait_job($eager, $master2, 'running');
    ok($eager->stop, 'and it stops');
};

# A logger that notes that it lives and, like any program, dies of the first signal.
my $logger = '%s 2>&1 | %s';

sub behind_logger {
    my ($box) = @_;
    my $program = $box->script('logger', 'echo $$ >' . $box->path('logger.pid') . "\nexec cat >>" . $box->path('logged'));

    s/^expect stop\n//m;
    s/ --ready sigstop//;
    s/^exec (.*)$/'exec ' . sprintf($logger, $1, $program)/me;
    return;
}

for my $signal ('TERM', 'INT') {
    subtest "behind a pipe to a logger that dies first: $signal" => sub {
        my ($box, $actor, $upstart, $master) = set_up(['hold'], sub {
            behind_logger(@_);
            s/^kill signal .*$/kill signal $signal/m;
        });

        $upstart->start;
        wait_job($upstart, $master, 'running');
        my $pid = $master->status->{pid};
        my $logger_pid = wait_for('the logger', sub { slurp($box->path('logger.pid')) =~ /^(\d+)\n/ && $1 });
        my ($gone, $logger_gone) = map { end_of($_) } $pid, $logger_pid;
        isnt($upstart->pid, $pid, 'Upstart tracks a shell');
        # For the shell that waits: it would hold up this test.
        my $released = fork() // die "fork: $!\n";
        if ($released == 0) {
            eval { wait_for('the logger is gone', $logger_gone) };
            spew($box->path('go'), '');
            POSIX::_exit(0);
        }
        $upstart->stop;
        waitpid($released, 0);
        is(last_word($master, $pid), 'exit 0', 'every state dumped, every lock released');
        is($actor->count(qr/^dumped 1$/), 1, 'the job dumped');
        is_deeply([grep { /^[A-Z]+\d?$/ } $actor->lines], ['INT'], 'and was told once');
        wait_for('the master ends', $gone);
        is_deeply([$actor->survivors], [], 'nothing is left');
        unlike(slurp($box->path('logged')), qr/stopped: jobs/, 'it is the log that loses its end');
    };
}

subtest 'a console that nobody reads' => sub {
    my ($box, $actor, $upstart, $master) = set_up([]);

    $upstart->{deaf} = 1;
    $upstart->start;
    wait_job($upstart, $master, 'running');
    # A terminal holds some KiB; each reload says several lines.
    for my $nth (1 .. 40) {
        $upstart->reload;
        wait_for("reload $nth", sub { ($master->status->{config}{reloads} // 0) >= $nth });
    }
    ok($upstart->stop, 'a stop ends within its time');
    is($upstart->{exit}, 0, 'and in order');
    is($actor->count(qr/^dumped 1$/), 1, 'the job dumped');
};

done_testing;
