#!/usr/bin/perl
# The life of a job in good order: what it is given, what it finds at its start, what the status file says of it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use POSIX qw(:signal_h);
use Test::More;

use Graceful::Test qw(wait_for slurp spew end_of);

use constant ROOT => $> == 0;
use constant NOBODY => 65534;

my $box = Graceful::Test->new;

# The number that /proc shows for a field of /proc/PID/status.
sub status_field {
    my ($pid, $field) = @_;
    return slurp("/proc/$pid/status") =~ /^$field:\s*(.*?)\s*$/m ? $1 : '';
}

sub environment {
    my ($pid) = @_;
    return { map { /^([^=]*)=(.*)\z/s } split(/\0/, slurp("/proc/$pid/environ")) };
}

sub limit {
    my ($pid, $name) = @_;
    return slurp("/proc/$pid/limits") =~ /^\Q$name\E\s+(\S+)\s+(\S+)/m ? "$1 $2" : '';
}

# Field $n of /proc/PID/stat, as proc(5) counts.
sub stat_field {
    my ($pid, $n) = @_;
    my ($rest) = slurp("/proc/$pid/stat") =~ /.*\) (.*)/s;
    return (split ' ', $rest)[ $n - 3 ];
}

# The master's own surroundings as bad as they get: nothing of them may come through to a job.
sub bad_surroundings {
    @ENV{qw(SECRET PASSED NOTIFY_SOCKET GRACEFUL_JOB WATCHDOG_USEC)} = ('x', "two\nlines", '/x', 'forged', '1');
    for my $fd (7, 9, 200) {
        open(my $file, '<', '/dev/null') or die;
        POSIX::dup2(fileno($file), $fd);
    }
    umask 0077;
    $SIG{$_} = 'IGNORE' for qw(INT HUP PIPE USR1 USR2 CHLD);
    sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGINT, SIGTERM, SIGUSR1, SIGALRM));
    return;
}

subtest 'a job is given what the contract says and nothing else' => sub {
    my $conf = $box->config('web-1', {
        plain => { command => ['/bin/sleep', '1000'] },
        full => {
            command => [ '/bin/sleep', '1001' ],
            env => { LANG => 'C.UTF-8', EMPTY => '', WITH => 'a=b' },
            pass_env => [ 'PASSED', 'NOT_THERE' ],
            cwd => '/usr',
            umask => '0027',
            nice => 19,
            watchdog => '1h',
            limits => { nofile => [ 77, 99 ], core => 0 },
            ROOT ? (user => 'nobody') : (),
        },
    });
    my $master = $box->start($conf, \&bad_surroundings);
    my $plain = $master->wait_state(plain => 'running')->{job_pid};
    my $full = $master->wait_state(full => 'running')->{job_pid};
    my @gone = map { end_of($_) } $plain, $full;
    my $env = environment($plain);

    is_deeply([ sort keys %{$env} ], [ sort qw(PATH SHELL HOME USER LOGNAME GRACEFUL_JOB GRACEFUL_INSTANCE GRACEFUL_STATE
        GRACEFUL_RESTORED GRACEFUL_EPOCH NOTIFY_SOCKET) ], 'no variable too many, none too few');
    is($env->{GRACEFUL_JOB}, 'plain', 'GRACEFUL_JOB');
    is($env->{GRACEFUL_INSTANCE}, 'web-1', 'GRACEFUL_INSTANCE');
    is($env->{GRACEFUL_STATE}, "$master->{work_dir}/jobs/plain/state", 'GRACEFUL_STATE');
    is($env->{GRACEFUL_RESTORED}, 'none', 'GRACEFUL_RESTORED');
    like($env->{GRACEFUL_EPOCH}, qr/^[1-9][0-9]*$/, 'GRACEFUL_EPOCH');
    is($env->{NOTIFY_SOCKET}, "$master->{run_dir}/notify/plain", 'NOTIFY_SOCKET');
    ok(-S $env->{NOTIFY_SOCKET}, 'which is a socket');

    $env = environment($full);
    is($env->{LANG}, 'C.UTF-8', 'env');
    is($env->{EMPTY}, '', 'an empty value');
    is($env->{WITH}, 'a=b', 'a value with "="');
    is($env->{PASSED}, "two\nlines", 'pass_env');
    ok(!exists $env->{NOT_THERE}, 'pass_env of what is not there');
    ok(!exists $env->{SECRET}, 'nothing else is passed');
    is($env->{WATCHDOG_USEC}, '3600000000', 'WATCHDOG_USEC');
    is($env->{USER}, ROOT ? 'nobody' : getpwuid($>), 'USER');

    for my $pid ($plain, $full) {
        opendir(my $fds, "/proc/$pid/fd") or die "/proc/$pid/fd: $!";
        is(join(' ', sort grep { /^\d/ } readdir $fds), '0 1 2', 'only descriptors 0 to 2');
        is(readlink "/proc/$pid/fd/0", '/dev/null', 'stdin is empty');
        is(hex status_field($pid, 'SigBlk'), 0, 'no signal is blocked');
        is(hex status_field($pid, 'SigIgn'), 0, 'no signal is ignored');
        is(stat_field($pid, 5), $pid, 'it leads its process group');
        is(stat_field($pid, 6), $pid, 'and its session');
    }
    is(readlink "/proc/$plain/cwd", '/', 'cwd by default');
    is(readlink "/proc/$full/cwd", '/usr', 'cwd');
    is(status_field($plain, 'Umask'), '0022', 'umask by default');
    is(status_field($full, 'Umask'), '0027', 'umask');
    is(stat_field($full, 19), 19, 'nice');
    is(stat_field($plain, 19), stat_field($$, 19), "the caller's by default");
    is(limit($full, 'Max open files'), '77 99', 'nofile');
    is(limit($full, 'Max core file size'), '0 0', 'core');
    is(limit($plain, 'Max open files'), limit($$, 'Max open files'), "limits are the caller's by default");
    is((stat "$master->{work_dir}/jobs/plain")[2] & 07777, 0700, "the job's directory is its own");
    if (ROOT) {
        my $gid = (getpwnam 'nobody')[3];
        is(status_field($full, 'Uid'), join("\t", (NOBODY) x 4), 'user');
        is(status_field($full, 'Gid'), join("\t", ($gid) x 4), 'group');
        unlike(status_field($full, 'Groups'), qr/\b0\b/, "root's groups are gone");
        is(hex status_field($full, 'CapEff'), 0, 'capabilities, too');
        is((stat "$master->{work_dir}/jobs/full")[4], NOBODY, "the directory is the user's");
        is((stat "$master->{run_dir}/notify/full")[4], NOBODY, 'the socket, too');
    }
    $master->signal('INT');
    is($master->wait_exit, 0, 'INT is heard although it was ignored and blocked');
    ok($_->(), 'the job is gone') for @gone;
};

subtest 'each value of GRACEFUL_RESTORED, and epochs that rise' => sub {
    my $starts = $box->path('starts');
    my $command = $box->job('steps', <<'END', 'echo "dumped $GRACEFUL_EPOCH" | dump');
echo "$GRACEFUL_RESTORED $GRACEFUL_EPOCH $([ -e "$GRACEFUL_STATE" ] && cat "$GRACEFUL_STATE")" >>"$dir/starts"
END
    my $conf = $box->config('web-1', { steps => { command => $command, restart_min => '10ms', checkpoint => 'infinity' } });
    my $n = 0;
    my @epochs;
    # The next line in the file of starts: restored, state.
    my $next = sub {
        my @words;
        $n++;
        wait_for("start $n", sub {
            my @lines = split(/\n/, slurp($starts));
            @words = split(' ', $lines[ $n - 1 ] // '', 3);
            return @lines >= $n;
        });
        push @epochs, $words[1];
        return [ $words[0], $words[2] // '' ];
    };
    my $master = $box->start($conf);

    is_deeply($next->(), [ 'none', '' ], 'none at the very first start');
    $master->signal('INT');
    is($master->wait_exit, 0, 'a clean stop');

    $master = $box->start($conf);
    is_deeply($next->(), [ 'clean', "dumped $epochs[0]" ], 'clean after a stop');
    cmp_ok($epochs[1], '>', $epochs[0], 'a new owner has a larger epoch');
    kill 'KILL', $master->wait_state(steps => 'running')->{job_pid};
    is_deeply($next->(), [ 'crash', "dumped $epochs[0]" ], 'crash after the job was killed');
    is($epochs[2], $epochs[1], 'the owner is still the same one');
    ok(wait_for('the restart to be counted', sub { ($master->job('steps')->{restarts} // 0) == 1 }), 'the restart is counted');
    $master->signal('INT');
    is($master->wait_exit, 0, 'a clean stop after a crash');

    $master = $box->start($conf);
    is_deeply($next->(), [ 'clean', "dumped $epochs[2]" ], 'clean again');
    wait_for('the state to count as unclean while the job runs', sub { !($master->job('steps')->{clean} // 1) });
    $master->put_down;
    $master = $box->start($conf);
    is_deeply($next->(), [ 'crash', "dumped $epochs[2]" ], 'crash after the machine went down, although nothing was dumped since');
    cmp_ok($epochs[4], '>', $epochs[3], 'and the epoch rose');
    $master->signal('INT');
    is($master->wait_exit, 0, 'a clean stop in the end');

    unlink "$master->{work_dir}/jobs/steps/state";
    spew("$master->{work_dir}/jobs/steps/state", 'forged');
    $master = $box->start($conf);
    is_deeply($next->(), [ 'clean', "dumped $epochs[4]" ], 'what lies in the work_dir does not count, the record does');
    $master->signal('INT');
    is($master->wait_exit, 0, 'stopped');
};

subtest 'the status file at each state' => sub {
    my $command = $box->job('gated', 'touch "$dir/up"', 'echo x | dump; until [ -e "$dir/gate" ]; do sleep 0.01; done');
    my %jobs = (gated => { command => $command });
    my $one = $box->start($box->config('web-1', \%jobs));
    my $job = $one->wait_state(gated => 'running');
    my ($two, $status);

    wait_for('the job to be up', sub { -e $box->path('up') });
    $status = $one->status;
    is_deeply([ sort keys %{$status} ], [ sort qw(instance pid version since stopping jobs) ], 'fields of the master');
    is($status->{instance}, 'web-1', 'instance');
    is($status->{pid}, $one->pid, 'pid');
    ok(!$status->{stopping}, 'not stopping');
    is_deeply([ sort keys %{$job} ], [ sort qw(state worker_pid job_pid epoch ready restarts since) ], 'running, no state yet');
    ok(!$job->{ready}, 'not ready');
    is((stat "$one->{run_dir}/status.json")[2] & 07777, 0644, 'all may read it');
    like(slurp("$one->{run_dir}/status.json"), qr/\}\n\z/, 'its last line is whole');

    $two = $box->start($box->config('web-2', \%jobs));
    wait_for('it to hear whom it waits for', sub { exists $two->job('gated')->{holder} });
    $job = $two->wait_state(gated => 'standby');
    is_deeply([ sort keys %{$job} ], [ sort qw(state worker_pid restarts since holder) ], 'standby');
    like($job->{holder}, qr/^web-1 on /, 'whom it waits for');

    $one->signal('INT');
    $job = $one->wait_state(gated => 'dumping');
    ok($one->status->{stopping}, 'the master is stopping');
    is_deeply([ sort keys %{$job} ], [ sort qw(state worker_pid job_pid epoch ready restarts since) ], 'dumping');
    is($two->job('gated')->{state}, 'standby', 'the other one waits as long as the dump takes');
    spew($box->path('gate'), '');
    is($one->wait_exit, 0, 'stopped');
    $status = $one->status;
    is($status->{exit}, 0, 'the last status tells the exit');
    is($status->{jobs}{gated}{state}, 'stopped', 'stopped');
    ok(!exists $status->{jobs}{gated}{$_}, "no $_ any more") for qw(worker_pid job_pid ready epoch);
    is($status->{jobs}{gated}{size}, 2, 'size of the last record');
    ok($status->{jobs}{gated}{clean}, 'which is clean');

    $job = $two->wait_state(gated => 'running');
    cmp_ok($job->{seq}, '>=', 1, 'seq of the state that was restored');
    is($job->{size}, 2, 'size');
    my ($rc, $out) = $box->run($box->graceful, 'status', '-c', $two->{conf});
    is($rc, 0, 'graceful status');
    like($out, qr/^gated +running +$job->{epoch} /m, 'shows job, state and epoch');
    ($rc, $out) = $box->run($box->graceful, 'status', '--json', '-c', $two->{conf});
    is(decode_json($out)->{jobs}{gated}{epoch}, $job->{epoch}, 'graceful status --json');
    $two->signal('TERM');
    is($two->wait_exit, 0, 'TERM stops as INT does');
};

done_testing();
