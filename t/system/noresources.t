#!/usr/bin/perl
# Out of processes, descriptors, inotify instances or a log: clear messages, nothing blocks or is lost, and things go on when there
# are some again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Fcntl qw(F_SETPIPE_SZ);
use File::Path qw(make_path);
use POSIX qw();
use Test::More;

use Graceful::Test qw(wait_for slurp spew end_of);

use constant ROOT => $> == 0;

my $box = Graceful::Test->new;
chmod(01777, $box->dir);

my %quick = (restart_min => '10ms', restart_max => '100ms', max_failures => 3, failure_window => '1h');

# A user of our own, as limits count all processes of one; the number is taken from the pid so that tests beside us have others.
my $uid = 1_000_000 + $$;

sub job {
    my ($name, %more) = @_;
    return {
        command => $box->job($name, "echo \"\$GRACEFUL_RESTORED\" >>\"\$dir/$name.starts\"", 'echo dumped | dump'), %quick, %more
    };
}

sub starts { my ($name) = @_; return scalar(() = slurp($box->path("$name.starts")) =~ /\n/g) }
sub record { my ($name) = @_; return slurp($box->path("local/graceful/jobs/$name/state")) }

sub stop_ok {
    my ($master, $status) = @_;

    $master->signal('INT');
    return is($master->wait_exit, $status // 0, "$master->{instance} stops with " . ($status // 0));
}

# Changes a limit of a process that runs. As its own user: without CAP_SYS_RESOURCE root may not do that to others.
sub limit {
    my ($pid, $what) = @_;
    my $owner = (stat "/proc/$pid")[4];
    my @as = $owner == $> ? () : ('setpriv', "--reuid=$owner", "--regid=$owner", '--clear-groups');

    return system(@as, 'prlimit', '--pid', $pid, "--$what") == 0;
}

my $can_limit = system('prlimit --version >/dev/null 2>&1') == 0;

subtest 'out of descriptors at the start' => sub {
    plan skip_all => 'no prlimit' unless $can_limit;
    my $conf = $box->config('web-1', { start => job('start') });

    # A build with sanitizers looks for leaks at its end, and without descriptors tries that for ever.
    local $ENV{ASAN_OPTIONS} = join(':', $ENV{ASAN_OPTIONS} // (), 'detect_leaks=0');
    for my $n (4 .. 8) {
        my ($status, undef, $err) = $box->run('prlimit', "--nofile=$n:$n", $box->graceful, 'run', '-c', $conf);
        ok($status == 1 || $status == 78 || $status == 127, "$n descriptors: status $status");
        like($err, qr/Too many open files|cannot make an event loop|error while loading/, "$n descriptors: says why");
    }
    is(starts('start'), 0, 'nothing was started');
};

subtest 'out of descriptors in the master, while it runs' => sub {
    plan skip_all => 'no prlimit' unless $can_limit;
    my $master = $box->start($box->config('web-1', { one => job('one'), two => job('two') }));

    $master->wait_state($_ => 'running') for qw(one two);
    my $job = $master->job('one');
    my $job_gone = end_of($job->{job_pid});
    ok(limit($master->pid, 'nofile=3:1024'), 'no descriptor is left');
    kill('KILL', $job->{worker_pid});
    $master->wait_log(qr/ one: cannot make a pipe to a worker: Too many open files; trying again soon/);
    wait_for('the job of the dead worker to be gone', $job_gone);
    is(starts('one'), 1, 'nobody runs it a second time');
    is($master->wait_state(two => 'running')->{epoch}, 1, 'the other job runs on');
    ok(limit($master->pid, 'nofile=1024:1024'), 'there are some again');
    wait_for('it starts again', sub { starts('one') == 2 });
    $master->wait_state(one => 'running');
    stop_ok($master);
    like($master->log_text, qr/locks_released=2 unclean=0 left=0/, 'no lock is lost');
    unlike($master->log_text, qr/worker was ended by SIG(?!KILL)/, 'nobody crashed');
};

subtest 'out of descriptors in a worker' => sub {
    plan skip_all => 'no prlimit' unless $can_limit;
    my $name = 'thirsty';
    my $master = $box->start($box->config('web-1', { $name => job($name, checkpoint => '100ms', max_failures => 1000) }, { state => { inline_max => '0B', url => 'file://' . $box->path('store') } }));
    my $worker = $master->wait_state($name => 'running')->{worker_pid};

    ok(limit($worker, 'nofile=3:1024'), 'no descriptor is left');
    spew("$master->{work_dir}/jobs/$name/state", 'x');
    $master->wait_log(qr/ $name: cannot save the state.*: Too many open files/);
    kill('KILL', $master->job($name)->{job_pid});
    $master->wait_log(qr/ $name: the job is not started, as .*: Too many open files/);
    ok(limit($worker, 'nofile=1024:1024'), 'there are some again');
    wait_for('it starts again', sub { starts($name) >= 2 });
    stop_ok($master);
    like($master->log_text, qr/locks_released=1 unclean=0 left=0/, 'no lock is lost');
};

# Runs graceful as the user of our own.
sub as_user {
    my (@limits) = @_;

    return sub {
        chdir('/');
        $) = "$uid $uid";
        $( = $uid;
        POSIX::setgid($uid);
        POSIX::setuid($uid);
        exec('prlimit', @limits, '--', $box->graceful, 'run', '-c', $box->path('user.json')) if @limits;
        exec($box->graceful, 'run', '-c', $box->path('user.json'));
    };
}

# A box whose directories belong to that user.
sub user_config {
    my ($jobs, %state) = @_;
    my $conf = $box->config('user', $jobs, {
        coordinator => { type => 'local', path => $box->path('user/local') }, run_dir => $box->path('user/run'),
        work_dir => $box->path('user/work'), state => { url => 'file://' . $box->path('user/store'), %state },
    });

    make_path($box->path('user'));
    chown($uid, $uid, $box->path('user'));
    chmod(0666, $box->path('user.log')) if -e spew($box->path('user.log'), '');
    return $conf;
}

sub user_can_run {
    my ($status) = $box->run('setpriv', "--reuid=$uid", "--regid=$uid", '--clear-groups', $box->graceful, '--help');
    return $status == 0;
}

# As "limit fsize" of Upstart sets it for all.
subtest 'a limit on the size of files' => sub {
    plan skip_all => 'no prlimit' unless $can_limit;
    my $big = $box->job('big', 'echo small | dump', 'head -c 200000 /dev/urandom | dump');
    my $master = $box->start($box->config('web-1', { big => { command => $big, checkpoint => '100ms', stop_timeout => '15s', hurry_timeout => '1s' } }));

    wait_for('a backup', sub { $master->job('big')->{seq} });
    ok(limit($master->job('big')->{worker_pid}, 'fsize=100000:100000'), 'limited');
    stop_ok($master, 3);
    like($master->log_text, qr/ big: cannot save the state, the last good one stays .*File too large/, 'the log says why');
    like($master->log_text, qr/locks_released=1 unclean=1 left=0/, 'and the worker lived to release the lock');
};

subtest 'a master that can write no file any more' => sub {
    plan skip_all => 'no prlimit' unless $can_limit;
    my $master = $box->start($box->config('web-1', { kept => job('kept') }));

    wait_for('the job', sub { starts('kept') });
    ok(limit($master->pid, 'fsize=0:0'), 'limited');
    stop_ok($master);
    like(record('kept'), qr/"clean": ?true/, 'the job has dumped');
};

subtest 'out of processes' => sub {
    plan skip_all => 'root must become somebody else, whom limits bind' unless ROOT && $can_limit;
    plan skip_all => 'another user cannot execute the program here' unless user_can_run();
    # It must not give up before it is given processes again.
    my $conf = user_config({ first => job('first', max_failures => 1000), second => job('second') });
    my $master = $box->start($conf, as_user('--nproc=1:'));

    $master->wait_log(qr/ first: cannot fork a worker: Resource temporarily unavailable; trying again soon/);
    $master->wait_log(qr/ second: cannot fork a worker: /);
    ok(!$master->ended, 'the master lives');
    is(starts('first'), 0, 'no job was started');
    ok(limit($master->pid, 'nproc=64:'), 'there are some again');
    $master->wait_state($_ => 'running') for qw(first second);
    wait_for("$_ is up", sub { starts($_) == 1 }) for qw(first second);

    # Now a worker: its job cannot be started again, and no thread be had for a backup.
    my $worker = $master->job('first')->{worker_pid};
    ok(limit($worker, 'nproc=1:'), 'none for one worker');
    kill('KILL', $master->job('first')->{job_pid});
    $master->wait_log(qr/ first: cannot (?:start .*cannot fork|save the state.*cannot start a thread|restore the state: cannot start a thread).*: Resource temporarily unavailable/);
    is($master->wait_state(second => 'running')->{epoch}, 1, 'the other job runs on');
    ok(limit($worker, 'nproc=64:'), 'there are some again');
    wait_for('it starts again', sub { starts('first') >= 2 });
    $master->wait_state(first => 'running');
    stop_ok($master);
    like($master->log_text, qr/locks_released=2 unclean=0 left=0/, 'no lock is lost');
};

# It is the next owner's, then: the store may hang, and the loop has a lease to renew.
subtest 'no thread to remove an old state' => sub {
    plan skip_all => 'root must become somebody else, whom limits bind' unless ROOT && $can_limit;
    plan skip_all => 'another user cannot execute the program here' unless user_can_run();
    plan skip_all => 'no developer build: it has no fault points' unless Graceful::Test->has_faults;
    my $conf = user_config({ old => job('old', checkpoint => '100ms') }, inline_max => '0B');
    my $master = $box->start($conf, sub {
        $ENV{GRACEFUL_FAULT} = 'worker.after_commit=block::2,worker.in_delete=kill';
        $ENV{GRACEFUL_FAULT_GO} = $box->path('go');
        as_user('--nproc=64:')->();
    });
    my $worker = $master->wait_state(old => 'running')->{worker_pid};
    my $state = "$master->{work_dir}/jobs/old/state";

    spew($state, 'a');
    chown($uid, $uid, $state);
    wait_for('the first state is saved', sub { $master->job('old')->{seq} });
    spew($state, 'bb');
    $master->wait_log(qr/^fault: after_commit/m);
    ok(limit($worker, 'nproc=1:'), 'no thread for what comes then');
    spew($box->path('go'), '');
    $master->wait_log(qr/ old: an old state stays until the next owner removes it: cannot start a thread/);
    ok(limit($worker, 'nproc=64:'), 'there are some again');
    stop_ok($master);
    unlike($master->log_text, qr/^fault: in_delete/m, 'the loop does not do it');
};

subtest 'a stop without threads' => sub {
    plan skip_all => 'root must become somebody else, whom limits bind' unless ROOT && $can_limit;
    plan skip_all => 'another user cannot execute the program here' unless user_can_run();
    my $master = $box->start(user_config({ bare => job('bare', stop_timeout => '15s', hurry_timeout => '1s') }), as_user('--nproc=64:'));

    my $worker = $master->wait_state(bare => 'running')->{worker_pid};
    wait_for('it is up', sub { starts('bare') == 1 });
    ok(limit($worker, 'nproc=1:'), 'no thread for the last save');
    stop_ok($master, 3);
    like($master->log_text, qr/ bare: cannot save the state.*: cannot start a thread: Resource temporarily unavailable/, 'says why');
    like($master->log_text, qr/locks_released=1 unclean=1 left=0/, 'the lock is released all the same');
};

subtest 'out of inotify instances' => sub {
    plan skip_all => 'root must become somebody else, who has some of his own' unless ROOT;
    plan skip_all => 'another user cannot execute the program here' unless user_can_run();
    my $inotify_init1 = { x86_64 => 294, aarch64 => 26 }->{ (POSIX::uname())[4] };
    plan skip_all => 'no number for inotify_init1() on this machine' unless defined $inotify_init1;
    my $conf = user_config({ blind => job('blind', checkpoint => '100ms'), asked => job('asked', checkpoint => '1h') });
    my $max = slurp('/proc/sys/fs/inotify/max_user_instances') + 0;
    pipe(my $ready_in, my $ready_out) or die "pipe: $!";
    pipe(my $end_in, my $end_out) or die "pipe: $!";

    my $hog = fork() // die "fork: $!";
    if ($hog == 0) {
        close($end_out);
        POSIX::setgid($uid);
        POSIX::setuid($uid);
        my $taken = 0;
        $taken++ while syscall($inotify_init1, 0) >= 0;
        syswrite($ready_out, "$taken\n");
        sysread($end_in, my $end, 1);
        POSIX::_exit(0);
    }
    close($end_in);
    my $taken = readline($ready_in);
    is($taken, "$max\n", 'all are taken');
    my $master = $box->start($conf, as_user());
    $master->wait_log(qr/ $_: .*cannot watch .*max_user_instances.*: Too many open files/) for qw(blind asked);
    $master->wait_state($_ => 'running') for qw(blind asked);
    spew("$master->{work_dir}/jobs/$_/state", 'seen') for qw(blind asked);
    chown($uid, $uid, "$master->{work_dir}/jobs/$_/state") for qw(blind asked);
    wait_for('it is saved without a watch', sub { slurp($box->path('user/local/graceful/jobs/blind/state')) =~ /"size":4,/ });
    $master->signal('USR1');
    wait_for('and when asked', sub { slurp($box->path('user/local/graceful/jobs/asked/state')) =~ /"size":4,/ });
    stop_ok($master);
    syswrite($end_out, 'x');
    waitpid($hog, 0);
};

subtest 'a log that nobody takes' => sub {
    my %sinks = (
        closed => sub { close(STDERR); close(STDOUT) },
        full => sub { open(STDERR, '>', '/dev/full') },
    );

    for my $how (sort keys %sinks) {
        my $name = "log-$how";
        my $master = $box->start($box->config('web-1', { $name => job($name) }), $sinks{$how});
        $master->wait_state($name => 'running');
        wait_for('the job is up', sub { starts($name) == 1 });
        stop_ok($master);
        like(record($name), qr/"clean":true/, "$how: the state is dumped");
    }
};

subtest 'a log pipe that is full, then one without a reader' => sub {
    pipe(my $in, my $out) or die "pipe: $!";
    fcntl($out, F_SETPIPE_SZ, 4096);
    my $chatty = job('chatty');
    $chatty->{command} = $box->job('chatty', 'for ((i = 0; i < 500; i++)); do echo "line $i of many that nobody reads"; done; echo x >>"$dir/chatty.starts"', 'echo dumped | dump');
    my $conf = $box->config('web-1', { chatty => $chatty });

    for my $reader (1, 0) {
        close($in) unless $reader;
        my $master = $box->start($conf, sub { open(STDERR, '>&', $out) or POSIX::_exit(9); close($in) if $reader });
        $master->wait_state(chatty => 'running');
        wait_for('the job to be heard out', sub { starts('chatty') == 2 - $reader });
        stop_ok($master);
        like(record('chatty'), qr/"clean":true/, $reader ? 'full: the state is dumped' : 'no reader: the state is dumped');
    }
};

done_testing;
