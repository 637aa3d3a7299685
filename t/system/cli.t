#!/usr/bin/perl
# The commands against a master that is played by this script: a process that locks a PID file,
# writes a status file, notes the signals that it gets and does what it is told through a pipe.
use strict;
use warnings;

use Cwd qw(abs_path);
use Fcntl qw(F_SETLK F_WRLCK SEEK_SET);
use File::Temp qw(tempdir);
use IO::Handle;
use POSIX qw(:sys_wait_h _exit);
use Test::More;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Graceful::Test qw(source_dir);

my $graceful = abs_path($ENV{GRACEFUL} // ($ENV{GRACEFUL_BUILDDIR} // '.') . '/graceful');
plan skip_all => 'graceful is not built' unless defined $graceful && -x $graceful;

my $top = tempdir('graceful-cli-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $script_pid = $$;
my $n_dirs = 0;
my %children;    # still to be reaped

$ENV{LC_ALL} = 'C.UTF-8';
$ENV{TZ} = 'UTC0';
delete $ENV{NO_COLOR};
local $SIG{PIPE} = 'IGNORE';

END {
    if ($$ == $script_pid) {
        my $status = $?;
        kill 'KILL', keys %children;
        waitpid $_, 0 for keys %children;
        $? = $status;
    }
}

sub new_dir {
    my $dir = "$top/" . ++$n_dirs;
    mkdir $dir or die "$dir: $!";
    return $dir;
}

sub write_file {
    my ($path, $text) = @_;
    open my $fh, '>', "$path.new" or die "$path: $!";
    print {$fh} $text;
    close $fh or die "$path: $!";
    rename "$path.new", $path or die "$path: $!";
}

sub read_file {
    my ($path) = @_;
    open my $fh, '<', $path or return '';
    local $/;
    return <$fh> // '';
}

# Waits for a condition, never for a time; the limit is only there to end a test that failed.
sub wait_for {
    my ($what, $condition) = @_;
    for (1 .. 12000) {
        return 1 if $condition->();
        select undef, undef, undef, 0.01;
    }
    fail("waited in vain for $what");
    return 0;
}

# Starts graceful; its output goes to files.
sub start {
    my (@args) = @_;
    my $base = "$top/out" . ++$n_dirs;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$base.out";
        open STDERR, '>', "$base.err";
        exec $graceful, @args or _exit(127);
    }
    $children{$pid} = 1;
    return { pid => $pid, out => "$base.out", err => "$base.err" };
}

sub finish {
    my ($run) = @_;
    waitpid $run->{pid}, 0;
    my $status = $?;
    delete $children{ $run->{pid} };
    return ($status & 127 ? "signal $status" : $status >> 8,
        read_file($run->{out}), read_file($run->{err}));
}

sub run { return finish(start(@_)) }

# The status file of a master, as JSON text.
sub status {
    my ($pid, $top_fields, %jobs) = @_;
    my $jobs = join ',', map { "\"$_\":{$jobs{$_}}" } sort keys %jobs;
    return "{\"instance\":\"web-1\",\"pid\":$pid,\"version\":\"0.1.0\",\"since\":1000000$top_fields,"
        . "\"jobs\":{$jobs}}\n";
}

my $running = '"state":"running","epoch":7,"ready":true';

# A process that notes its signals in a file, one name a line, and obeys lines from a pipe.
sub note_signals {
    my ($file, $on_signal, @names) = @_;
    for my $name (@names) {
        $SIG{$name} = sub {
            open my $fh, '>>', $file or _exit(1);
            syswrite $fh, "$name\n";
            close $fh;
            $on_signal->($name);
        };
    }
}

sub play_worker {
    my ($dir, $ready, $master) = @_;
    note_signals("$dir/worker-signals", sub { }, qw(INT USR1));
    syswrite $ready, "$$\n";
    close $ready;
    sleep 1 while getppid() == $master;
    _exit(0);
}

# A struct flock, as Linux has it on machines of 64 bits.
my $whole_file = pack('s s x4 q q l x4', F_WRLCK, SEEK_SET, 0, 0, 0);

# Commands: "status TEXT" replaces the status file, "exit N" exits.
sub play_master {
    my ($dir, $control, $ready, %how) = @_;
    open my $lock, '+>', "$dir/graceful.lock" or _exit(1);
    fcntl $lock, F_SETLK, $whole_file or _exit(1);
    open my $pid_file, '>', "$dir/graceful.pid" or _exit(1);
    note_signals("$dir/signals", $how{on_signal} // sub { }, qw(INT TERM QUIT HUP USR1 USR2));
    if ($how{worker}) {
        my $master = $$;
        my $pid = fork // _exit(1);
        if ($pid == 0) {
            close $lock;
            close $pid_file;
            play_worker($dir, $ready, $master);
        }
        $how{worker} = $pid;
    } else {
        syswrite $ready, "0\n";
    }
    syswrite $pid_file, "$$";
    close $pid_file;
    close $ready;
    while (my $line = <$control>) {
        write_file("$dir/status.json", "$1\n") if $line =~ /^status (.*)/;
        if ($line =~ /^exit (\d+)/) {
            kill 'KILL', $how{worker} if $how{worker};
            waitpid $how{worker}, 0 if $how{worker};
            _exit($1);
        }
    }
    kill 'KILL', $how{worker} if $how{worker};
    _exit(0);
}

# Returns a master once its PID file is written and its first status file is in place.
sub master {
    my (%how) = @_;
    my $dir = new_dir();
    pipe my $control_in, my $control_out or die "pipe: $!";
    pipe my $ready_in, my $ready_out or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        close $control_out;
        close $ready_in;
        play_master($dir, $control_in, $ready_out, %how);
    }
    close $ready_out;
    $control_out->autoflush(1);
    chomp(my $worker = <$ready_in> // '');
    1 while <$ready_in>;    # until master and worker have both closed it
    $children{$pid} = 1;
    my $m = { pid => $pid, dir => $dir, control => $control_out, worker => $worker };
    write_file("$dir/status.json", $how{status}->($m)) if $how{status};
    return $m;
}

# Returns when it is there.
sub say_status {
    my ($m, $text) = @_;
    chomp $text;
    print { $m->{control} } "status $text\n";
    wait_for('its status', sub { read_file("$m->{dir}/status.json") eq "$text\n" });
}

sub end_master {
    my ($m) = @_;
    print { $m->{control} } "exit 0\n";
    waitpid $m->{pid}, 0;
    delete $children{ $m->{pid} };
}

sub signals { return read_file("$_[0]{dir}/signals") }

sub plain_status { return status($_[0]{pid}, '', orders => $running) }

subtest 'usage' => sub {
    my ($rc, $out, $err) = run();
    is $rc, 64, 'no command';
    like $err, qr/^Usage: graceful COMMAND/, 'shows the overview';
    for my $help (['--help'], ['help'], [ 'help', 'help' ], [ 'help', '--help' ], ['-h']) {
        ($rc, $out, $err) = run(@$help);
        is $rc, 0, "@$help";
        like $out, qr/Commands:\n  run .*\n  check .*\n  status /, 'lists the commands';
    }
    my $page = read_file(source_dir() . '/man/graceful.8');
    my ($synopsis) = $page =~ /^\.Sh SYNOPSIS\n(.*?)^\.Sh /ms;
    my @commands = $out =~ /^  ([a-z-]+) +\S/mg;
    cmp_ok(scalar(@commands), '>', 10, 'there are commands');
    like($page, qr/^\.It Cm \Q$_\E$/m, "graceful(8) tells of $_") for @commands;
    like($synopsis, qr/^\.Cm (.* \| )?\Q$_\E( \| .*)?$/m, "$_ is in its synopsis") for @commands;
    for my $cmd (grep { $_ ne 'help' } @commands) {
        my ($rc1, $out1) = run($cmd, '--help');
        my @options = $out1 =~ /^ .*?-(-[a-z-]+)/mg;
        like($page, qr/^\.It .*Fl \Q$_\E\b/m, "graceful(8) tells of $cmd -$_") for grep { $_ ne '-help' } @options;
        my %columns = map { length() => 1 } $out1 =~ /^(  (?:-\w,|   ) --\S+(?: [A-Z]+)? +)\S/mg;
        is scalar(keys %columns), 1, 'explains all options in one column';
        my ($rc2, $out2) = run('help', $cmd);
        is $rc1, 0, "$cmd --help";
        like $out1, qr/^Usage: graceful $cmd .*Exit status: .*--help/s, 'tells enough';
        is $out1, $out2, "help $cmd is the same";
    }
    ($rc, $out, $err) = run('--version');
    is "$rc $out", "0 $out", 'version';
    like $out, qr/^graceful \d+\.\d+\.\d+\n$/, 'version alone';
    my @wrong = (
        [ ['stauts'], qr/no command "stauts"; did you mean status\?/ ],
        [ ['xyzzy'], qr/no command "xyzzy"; see graceful --help/ ],
        [ [ 'help', 'stpo' ], qr/did you mean stop/ ],
        [ [ 'stop', '--json' ], qr/graceful stop: --json is no option here; see graceful stop --help/ ],
        [ [ 'status', '-xc' ], qr/-x is no option here/ ],
        [ [ 'status', '--jsn' ], qr/--jsn is no option here, did you mean --json\?; see graceful status --help/ ],
        [ [ 'run', '--confgi=x' ], qr/--confgi=x is no option here, did you mean --config\?/ ],
        [ [ '-c', 'x', 'run' ], qr/-c: the command comes first, as in graceful status --json/ ],
        [ [ 'status', '--run-dir' ], qr/--run-dir needs an argument/ ],
        [ [ 'run', '-c' ], qr/-c needs an argument/ ],
        [ [ 'run', '-c', '' ], qr/--config needs an argument/ ],
        [ [ 'status', '--run-dir=' ], qr/--run-dir needs an argument/ ],
        [ [ 'stop', 'orders' ], qr/"orders" is too much/ ],
        [ ['handoff'], qr/JOB is missing/ ],
        [ [ 'check', '/dev/null' ], qr/"\/dev\/null" is too much; if it is a configuration, name it by -c/ ],
        [ [ 'handoff', 'a', 'b' ], qr/"b" is too much/ ],
        [ [ 'status', '3' ], qr/without --watch/ ],
        [ [ 'status', '--watch', 'x' ], qr/no number of seconds/ ],
        [ [ 'status', '--watch', '0' ], qr/no number of seconds/ ],
        [ [ 'status', '--watch', '--json' ], qr/exclude each other/ ],
        [ [ 'stop', '--hurry', '--kill' ], qr/exclude each other/ ],
    );
    for my $case (@wrong) {
        ($rc, $out, $err) = run(@{ $case->[0] });
        is $rc, 64, "@{$case->[0]}";
        like $err, $case->[1], 'says what';
        is $err =~ tr/\n//, 1, 'in one line';
    }
};

subtest 'output that is lost' => sub {
    is system("'$graceful' --help >/dev/full 2>'$top/err'") >> 8, 1, 'full disk';
    like read_file("$top/err"), qr/cannot write the output: No space left/, 'is reported';
    is system("'$graceful' --help >&- 2>'$top/err'") >> 8, 1, 'closed stdout';
    pipe my $in, my $out or die;
    my $pid = fork // die;
    if ($pid == 0) {
        close $in;
        open STDOUT, '>&', $out;
        open STDERR, '>', "$top/err";
        close $out;
        $SIG{PIPE} = 'DEFAULT';
        exec $graceful, '--help' or _exit(127);
    }
    close $in;
    close $out;
    waitpid $pid, 0;
    ok WIFEXITED($?), 'a closed pipe kills nobody';
    my $m = master(status => \&plain_status);
    is system("'$graceful' status --run-dir '$m->{dir}' >/dev/full 2>'$top/err'") >> 8, 1,
        'status on a full disk';
    end_master($m);
};

subtest 'no master' => sub {
    my @cases = (
        [ 'no directory', sub { return "$top/nothing" }, qr/graceful\.pid does not exist/ ],
        [ 'no PID file', sub { return $_[0] }, qr/graceful\.pid does not exist/ ],
        [ 'empty', sub { write_file("$_[0]/graceful.pid", ''); $_[0] }, qr/graceful\.pid is empty/ ],
        [
            'PID reused', sub { write_file("$_[0]/graceful.pid", "$$\n"); write_file("$_[0]/graceful.lock", ''); $_[0] },
            qr/graceful\.lock is not locked/
        ],
        [
            'no lock file', sub { write_file("$_[0]/graceful.pid", "$$\n"); $_[0] },
            qr/graceful\.lock does not exist/
        ],
        [
            'PID gone', sub { write_file("$_[0]/graceful.pid", '4194305'); $_[0] },
            qr/names PID 4194305, which is gone/
        ],
    );
    for my $case (@cases) {
        my $dir = $case->[1]->(new_dir());
        for my $cmd (['status'], ['status', '--json'], ['stop'], [ 'stop', '--no-wait' ], ['checkpoint'], [ 'checkpoint', 'x' ],
            [ 'handoff', 'x' ], ['reload'], ['drain'], ['resume'], ['log-reopen'])
        {
            my ($rc, $out, $err) = run(@$cmd, '--run-dir', $dir);
            is $rc, 1, "$case->[0]: @$cmd";
            like $err, qr/no master runs here/, 'says it plainly';
            like $err, $case->[2], 'says how that shows';
            like $err, qr/start one with: graceful run/, 'says what to do';
            is $out, '', 'shows nothing old';
        }
    }
    for my $junk ("abc", "-1", "0", "12 34", "99999999999999999999", "1" x 100) {
        my $dir = new_dir();
        write_file("$dir/graceful.pid", $junk);
        my ($rc, $out, $err) = run('stop', '--run-dir', $dir);
        is $rc, 1, 'junk';
        like $err, qr/holds no PID/, 'says so';
    }
};

subtest 'a PID file that somebody removed' => sub {
    my $m = master(status => \&plain_status);
    my @dir = ('--run-dir', $m->{dir});
    unlink "$m->{dir}/graceful.pid" or die "graceful.pid: $!";
    my ($rc, $out, $err) = run('status', @dir);
    is "$rc$err", '0', 'the master is known by its lock';
    like $out, qr/^web-1  pid $m->{pid} /, 'and shown';
    ($rc, $out, $err) = run('checkpoint', @dir);
    is "$rc$err", '0', 'and gets signals';
    ok wait_for('the signal', sub { signals($m) eq "USR1\n" }), 'once';
    end_master($m);
    ($rc, $out, $err) = run('status', @dir);
    like "$rc $err", qr/^1 .*no master runs here \(.*graceful\.pid does not exist\); start one with/, 'until it ends';
};

subtest 'status' => sub {
    my $m = master(
        status => sub {
            status($_[0]{pid}, '',
                broken => '"state":"backoff","failure":"the job exited with status 3","status":"old"',
                breaks => '"state":"backoff","worker_pid":1,"failure":"no","retry":' . (time() + 7000),
                ceased => '"state":"done","size":1,"failure":"old"',
                dozing => '"state":"backoff","worker_pid":1,"finished":true,"retry":1',
                freed => '"state":"backoff","finished":true,"retry":' . (time() + 7000),
                clicks => '"state":"standby","restarts":0,"holder":"web-2 on hostB (pid 12)"',
                denied => '"state":"standby","holder":"web-2","trouble":"no"',
                mended => '"state":"standby","failure":"the job exited with status 4"',
                orders => "$running,\"size\":1536,\"restarts\":2,\"status\":\"12345 lines\"");
        });
    my @dir = ('--run-dir', $m->{dir});
    my ($rc, $out, $err) = run('status', @dir);
    is $rc, 0, 'shown';
    is $err, '', 'no complaint';
    like $out, qr/^web-1  pid $m->{pid}  version 0\.1\.0  since 1970-01-12 13:46:40/, 'header';
    like $out, qr/^9 jobs: 1 running, 3 standby, 4 backoff, 1 done$/m, 'counts';
    like $out, qr/^broken +backoff .* the job exited with status 3$/m, 'why a job is to be started again';
    like $out, qr/^breaks +backoff .* no; started again in 1h5[0-6]m$/m, 'and when';
    like $out, qr/^ceased +done .* finished, and not started again \(on_exit "done"\)$/m, 'why it never is';
    like $out, qr/^dozing +backoff .* the job exited with status 0; started again now$/m, 'that it did not fail';
    like $out, qr/^freed +backoff .* the job exited with status 0; queued for its lock again in 1h5[0-6]m$/m, 'that it has no lock';
    like $out, qr/^clicks +standby .* behind web-2 on hostB \(pid 12\)$/m, 'whom a standby waits for';
    like $out, qr/^denied +standby .* cannot get the lock: no$/m, 'and first why it waits in vain';
    unlike $out, qr/status 4/, 'not when that is not what is waited for';
    like $out, qr/^orders +running +7 +yes +- +- +1\.5 KiB +2  12345 lines$/m, 'a row';
    unlike $out, qr/\033/, 'no colour into a file';

    ($rc, $out) = run('status', '--json', @dir);
    is $rc, 0, 'json';
    is $out, read_file("$m->{dir}/status.json"), 'is the file as it stands';

    write_file("$m->{dir}/status.json",
        status($m->{pid}, '', j => '"state":"running","status":"a\u001b[2Jb\u009bc\nd"'));
    ($rc, $out) = run('status', @dir);
    unlike $out, qr/\033|\xc2\x9b/, 'a job cannot send control characters';
    like $out, qr/a\?\[2Jb\?c\?d$/m, 'its text is shown without';

    my @bad = (
        [ 'cut off', substr(plain_status($m), 0, 40), qr/is no status file/ ],
        [ 'another master\'s', status(1, ''), qr/has not written .* yet; what is there is of pid 1/ ],
        [ 'too large', ' ' x (33 << 20), qr/status\.json/ ],
    );
    for my $case (@bad) {
        write_file("$m->{dir}/status.json", $case->[1]);
        for my $option ([], ['--json']) {
            ($rc, $out, $err) = run('status', @$option, @dir);
            is $rc, 1, "$case->[0] @$option";
            like $err, $case->[2], 'says why';
            is $out, '', 'shows nothing';
        }
    }
    unlink "$m->{dir}/status.json";
    ($rc, $out, $err) = run('status', @dir);
    is $rc, 1, 'none yet';
    like $err, qr/status\.json: No such file/, 'says why';
    end_master($m);
};

subtest 'watch' => sub {
    my $m = master(status => \&plain_status);
    my $w = start('status', '--watch', '600', '--run-dir', $m->{dir});
    wait_for('the first table', sub { read_file($w->{out}) =~ /^orders +running/m });
    say_status($m, status($m->{pid}, '', orders => '"state":"dumping"'));
    wait_for('the change', sub { read_file($w->{out}) =~ /^orders +dumping/m });
    end_master($m);
    ok wait_for('the end', sub { read_file($w->{out}) =~ /no master runs here/ }) || 1,
        'goes on without a master';
    kill 'INT', $w->{pid};
    my ($rc, $out, $err) = finish($w);
    is $rc, 0, 'Ctrl-C ends it well';
    is $err, '', 'without a word';
    ($rc, $out, $err) = run('status', '--watch', '--run-dir', "$top/nothing");
    is $rc, 1, 'nothing to watch';
    like $err, qr/no master runs here .*nothing.*; start one with: graceful run/, 'says so, and what to do';
};

subtest 'on a terminal' => sub {
    plan skip_all => 'script(1) is not there' if system('script -V >/dev/null 2>&1') != 0;
    local $ENV{TERM} = 'xterm';
    my $m = master(
        status => sub { status($_[0]{pid}, '', j => "$running,\"status\":\"\x7f\xc2\x9b2J\"") });
    my $on_tty = sub {
        my ($env, $args) = @_;
        return scalar `script -qec "$env '$graceful' $args --run-dir '$m->{dir}'" /dev/null </dev/null`;
    };
    like $on_tty->('', 'status'), qr/\033\[32mrunning\033\[0m/, 'colours';
    unlike $on_tty->('NO_COLOR=1', 'status'), qr/\033/, 'none with NO_COLOR';
    unlike $on_tty->('TERM=dumb', 'status'), qr/\033/, 'none on a dumb one';
    like $on_tty->('LC_ALL=C', 'status'), qr/\?\?2J/, 'no control characters';
    unlike $on_tty->('', 'status --json'), qr/\xc2\x9b/, 'none in JSON either';

    # The shell tells its PID, which is then that of the command.
    open my $tty, '-|', 'script', '-qec',
        "echo \$\$; exec '$graceful' status --watch --run-dir '$m->{dir}'", '/dev/null'
        or die "script: $!";
    my $out = '';
    while ($out !~ /running/ && sysread $tty, $out, 4096, length $out) { }
    kill 'INT', $out =~ /^(\d+)/;
    while (sysread $tty, $out, 4096, length $out) { }
    close $tty;
    is $?, 0, 'watch ends well';
    like $out, qr/^\d+\s+\033\[\?1049h\033\[\?25l/, 'takes the screen';
    like $out, qr/\033\[\?7h.*\033\[\?25h\033\[\?1049l$/s, 'and gives it back';
    end_master($m);
};

# How a stop shows, and that the master's last word becomes the exit status.
sub stop_with_exit {
    my ($last, $expected_rc, %jobs) = @_;
    my $m = master(status => \&plain_status);
    my $s = start('stop', '--run-dir', $m->{dir});
    wait_for('INT', sub { signals($m) eq "INT\n" });
    my %before = map { $_ => $jobs{$_} =~ /"parked"/ ? $jobs{$_} : '"state":"dumping"' } keys %jobs;
    say_status($m, status($m->{pid}, ',"stopping":true', %before, orders => '"state":"dumping"'));
    wait_for('dumping', sub { read_file($s->{out}) =~ /^orders: dumping$/m });
    is waitpid($s->{pid}, WNOHANG), 0, 'waits for the master';
    say_status($m,
        status($m->{pid}, ",\"stopping\":true$last", orders => '"state":"stopped","clean":true', %jobs));
    wait_for('released', sub { read_file($s->{out}) =~ /^orders: released/m });
    end_master($m);
    my ($rc, $out, $err) = finish($s);
    is $rc, $expected_rc, "exit status $expected_rc";
    is signals($m), "INT\n", 'INT once';
    return ($out, $err);
}

subtest 'stop' => sub {
    my ($out, $err) = stop_with_exit(',"exit":0', 0);
    like $out, qr/^orders: dumping\norders: released\nstopped: pid \d+, every state dumped/, 'tells';
    is $err, '', 'nothing to complain';
    ($out, $err) = stop_with_exit(',"exit":3', 3);
    like $err, qr/a state was not dumped cleanly; its last good one, if any, was kept/, 'says what';
    my ($kept, $none) = map { "\"state\":\"stopped\",\"unclean\":true$_" } ',"clean":false,"seq":1,"size":5', '';
    my @unclean = (
        [ { orders => $kept, clicks => '"state":"stopped"' }, qr/the state of orders was not dumped cleanly; its last good one was kept,/ ],
        [ { clicks => $none }, qr/the state of clicks was not dumped cleanly; there is no older one,/ ],
        [ { orders => $kept, clicks => $kept }, qr/2 states were not dumped cleanly; their last good ones were kept,/ ],
        [ { orders => $kept, clicks => $none }, qr/2 states were not dumped cleanly; of 1 there is no older one,/ ],
        [ { orders => $none, clicks => $none }, qr/2 states were not dumped cleanly; there are no older ones,/ ],
        # Of long before the stop, as by a drain: that was told then, and is not in the exit status either.
        [ { orders => $kept, clicks => '"state":"parked","unclean":true' }, qr/the state of orders was not dumped cleanly; its last good one was kept,/ ],
    );
    for my $case (@unclean) {
        ($out, $err) = stop_with_exit(',"exit":3', 3, %{ $case->[0] });
        like $err, $case->[1], 'says which, and what is left of it';
    }
    ($out, $err) = stop_with_exit(',"exit":4', 4);
    like $err, qr/a lock could not be released; it ends by itself after its TTL, see/, 'says what';
    ($out, $err) = stop_with_exit(',"exit":4', 4, orders => $kept);
    like $err, qr/after its TTL; and the state of orders was not dumped cleanly; its last good one was kept, see/, 'and what else';
    ($out, $err) = stop_with_exit('', 1);
    like $err, qr/is gone without a last word; see its log/, 'says what';
};

subtest 'stop tells of what was held alone' => sub {
    my %others = (waits => '"state":"standby","worker_pid":1', gaveup => '"state":"backoff","unclean":true');
    my $last = sub { return map { $_ => '"state":"stopped"' . ($_ eq 'gaveup' ? ',"unclean":true' : '') } keys %others };
    for my $case ([ { orders => '"state":"backoff","worker_pid":2,"epoch":7,"clean":false,"seq":1,"size":5' }, qr/^orders: released\nstopped: pid \d+, every state dumped, / ],
        [ {}, qr/^stopped: pid \d+, nothing was held, / ]) {
        my ($mine, $expected) = @$case;
        my $m = master(status => sub { return status($_[0]{pid}, '', %others, %$mine) });
        my $s = start('stop', '--run-dir', $m->{dir});
        wait_for('INT', sub { signals($m) eq "INT\n" });
        say_status($m, status($m->{pid}, ',"stopping":true', %others, waits => '"state":"releasing","worker_pid":1', %$mine));
        # A backup that was made while the job ran is not called clean.
        say_status($m, status($m->{pid}, ',"stopping":true,"exit":0', $last->(), map { $_ => '"state":"stopped","clean":false,"seq":1,"size":5' } keys %$mine));
        end_master($m);
        my ($rc, $out, $err) = finish($s);
        is $rc, 0, 'exit status';
        like $out, $expected, 'what it tells';
    }
};

subtest 'the last word is heard although the next master wrote its status' => sub {
    my $m = master(status => \&plain_status);
    my $s = start('stop', '--run-dir', $m->{dir});
    wait_for('INT', sub { signals($m) eq "INT\n" });
    say_status($m,
        status($m->{pid}, ',"stopping":true,"exit":0', orders => '"state":"stopped"'));
    wait_for('released', sub { read_file($s->{out}) =~ /^orders: released$/m });
    write_file("$m->{dir}/status.json", status(1, '', orders => $running));
    end_master($m);
    is((finish($s))[0], 0, 'exit status 0');
};

subtest 'stop without a status file' => sub {
    my $m = master();
    my $s = start('stop', '--run-dir', $m->{dir});
    wait_for('INT', sub { signals($m) eq "INT\n" });
    end_master($m);
    is((finish($s))[0], 1, 'no last word');
};

subtest 'hurry' => sub {
    my $m = master(status => \&plain_status);
    my $s = start('stop', '--hurry', '--run-dir', $m->{dir});
    wait_for('TERM', sub { signals($m) eq "TERM\n" });
    say_status($m, status($m->{pid}, ',"stopping":true', orders => '"state":"dumping"'));
    wait_for('it to miss the word', sub { read_file($s->{err}) =~ /has not answered in 3 s; .* Asking again does no harm/ });
    say_status($m,
        status($m->{pid}, ',"stopping":true,"hurry":true', orders => '"state":"dumping"'));
    say_status($m,
        status($m->{pid}, ',"stopping":true,"exit":0', orders => '"state":"stopped"'));
    end_master($m);
    is((finish($s))[0], 0, 'exit status 0');
    is signals($m), "TERM\n", 'and that is all';
};

# Waits until the process is in this state of ps(1).
sub wait_process {
    my ($pid, $state) = @_;

    return wait_for("$pid is $state", sub { read_file("/proc/$pid/stat") =~ /\) $state / });
}

subtest 'a master that does not answer' => sub {
    for my $cmd ('stop', 'stop --kill', 'reload') {
        my $m = master(status => \&plain_status);
        my $c = start(split(/ /, $cmd), '--run-dir', $m->{dir});

        wait_for('it says that it waits', sub {
            read_file($c->{err}) =~ /\(pid $m->{pid}\) has not answered in 3 s; waiting on\. See its log/ });
        end_master($m);
        is((finish($c))[0], 1, "$cmd: it went without a word");

        $m = master(status => \&plain_status);
        kill('STOP', $m->{pid});
        wait_process($m->{pid}, 'T');
        $c = start(split(/ /, $cmd), '--run-dir', $m->{dir});
        wait_for('it says why', sub { read_file($c->{err}) =~ /suspended and hears nothing until: kill -CONT $m->{pid}$/m });
        kill('CONT', $m->{pid});
        end_master($m);
        is((finish($c))[0], 1, 'and waits on');
    }
    my $m = master(status => \&plain_status);
    kill('STOP', $m->{pid});
    wait_process($m->{pid}, 'T');
    my ($rc, $out, $err) = run('drain', '--run-dir', $m->{dir});
    is($rc, 1, 'drain');
    like($err, qr/does not say that it drains: it is suspended/, 'says why');
    kill('CONT', $m->{pid});
    end_master($m);
};

subtest 'kill' => sub {
    my $m = master(status => \&plain_status);
    my ($rc, $out) = run('stop', '--kill', '--no-wait', '--run-dir', $m->{dir});
    is $rc, 0, 'asked';
    wait_for('QUIT', sub { signals($m) eq "QUIT\n" });
    end_master($m);
};

# A file name, or what a server says: C1 controls drive some terminals, direction marks turn a line around.
subtest 'names that hold more than text' => sub {
    my $odd = "/nowhere/a\xc2\x9b2Jb\xe2\x80\xaec\xffd";
    for my $case ([ 'status', '-c', $odd ], [ 'status', '--run-dir', $odd ], [ 'check', '-c', $odd ], [ 'check', $odd ]) {
        my ($rc, $out, $err) = run(@$case);
        isnt $rc, 0, "@{$case}[0, 1]";
        like $err, qr{/nowhere/a\?2Jb\?c\?d}, 'what it is about can be read';
        unlike "$out$err", qr/[^\n\x20-\x7e]/, 'and nothing else is there';
    }
};

subtest 'checkpoint and handoff' => sub {
    my $m = master(worker => 1);
    my @dir = ('--run-dir', $m->{dir});
    write_file("$m->{dir}/status.json", status($m->{pid}, '',
        orders => "$running,\"worker_pid\":$m->{worker}",
        clicks => "\"state\":\"standby\",\"worker_pid\":$m->{worker},\"holder\":\"web-2 on hostB\"",
        stale => "$running,\"worker_pid\":$$",
        gone => "$running,\"worker_pid\":4194305",
        none => $running));
    my ($rc, $out, $err) = run('checkpoint', @dir);
    is $rc, 0, 'checkpoint';
    is $out, "checkpoint: sent SIGUSR1 to the master (pid $m->{pid})\n", 'says so';
    wait_for('USR1', sub { signals($m) eq "USR1\n" });

    my $worker_signals = sub { return read_file("$m->{dir}/worker-signals") };
    ($rc, $out, $err) = run('checkpoint', 'orders', @dir);
    is $rc, 0, 'checkpoint orders';
    wait_for('USR1 at the worker', sub { $worker_signals->() eq "USR1\n" });
    ($rc, $out, $err) = run('handoff', 'orders', @dir);
    is $rc, 0, 'handoff';
    is $out, "handoff orders: sent SIGINT to its worker (pid $m->{worker})\n", 'says so';
    wait_for('INT at the worker', sub { $worker_signals->() eq "USR1\nINT\n" });

    my $hit = 0;
    local $SIG{INT} = sub { $hit++ };
    my @refused = (
        [ 'clicks', qr/clicks is not held here \(its state is standby, behind web-2 on hostB\): / ],
        [ 'none', qr/none is not held here/ ],
        [ 'stale', qr/pid $$ is no worker of the master \(pid $m->{pid}\) any more/ ],
        [ 'gone', qr/the worker \(pid 4194305\) is gone/ ],
        [ 'nobody', qr/web-1 has no job "nobody": there are clicks, gone, none, orders, stale$/m ],
        [ 'order', qr/web-1 has no job "order": did you mean orders\?/ ],
    );
    for my $case (@refused) {
        ($rc, $out, $err) = run('handoff', $case->[0], @dir);
        is $rc, 1, "handoff $case->[0]";
        like $err, $case->[1], 'says why';
    }
    is $hit, 0, 'a process that only has the PID of a worker is left alone';
    is signals($m), "USR1\n", 'the master got nothing of it';
    end_master($m);
};

subtest 'who is asked, by either way to find it' => sub {
    my $m = master(status => sub { status($_[0]{pid}, ',"draining":true,"drained":true', orders => $running) });
    my $conf = "$m->{dir}/conf.json";
    my %sent = (checkpoint => 'USR1', resume => 'HUP', reload => 'HUP');

    write_file($conf, qq({"instance":"web-1","run_dir":"$m->{dir}","work_dir":"$m->{dir}/work","jobs":{"orders":{"command":["/bin/true"],"state_max":"1KiB"}}}));
    for my $cmd (sort keys %sent) {
        for my $where ([ '-c', $conf ], [ '--config', $conf ], [ '--run-dir', $m->{dir} ]) {
            my $before = () = signals($m) =~ /^$sent{$cmd}$/mg;
            my ($rc, $out, $err) = run($cmd, $cmd eq 'checkpoint' ? () : '--no-wait', @$where);

            is("$rc $err", '0 ', "$cmd @$where");
            like($out, qr/the master \(pid $m->{pid}\)/, 'says whom it asked');
            wait_for('the signal', sub { (() = signals($m) =~ /^$sent{$cmd}$/mg) > $before });
        }
    }
    end_master($m);
};

subtest 'not allowed' => sub {
    plan skip_all => 'only root can become somebody else' if $> != 0;
    my $m = master(status => \&plain_status);
    chmod 0755, $top, $m->{dir};
    my $pid = fork // die;
    if ($pid == 0) {
        my $nobody = getpwnam 'nobody';
        open STDERR, '>', "$top/denied";
        open STDOUT, '>', '/dev/null';
        $) = "$nobody $nobody";
        POSIX::setuid($nobody);
        # Where the program lies below somebody's closed directory nobody can run it.
        exec $graceful, 'stop', '--run-dir', $m->{dir} or _exit(99);
    }
    waitpid $pid, 0;
    my $rc = $? >> 8;
    end_master($m);
    plan skip_all => 'nobody cannot execute the program here' if $rc == 99;
    is $rc, 1, 'stop';
    like read_file("$top/denied"), qr/not allowed to signal the master \(pid \d+\); be root/, 'says why';
    is signals($m), '', 'no signal';
};

# A configuration that works on any machine, with replaced parts.
sub conf {
    my (%with) = @_;
    my $dir = new_dir();
    my %keys = (
        run_dir => "\"$dir/run\"",
        work_dir => "\"$dir/work\"",
        coordinator => "{\"type\":\"local\",\"path\":\"$dir/local\"}",
        state => "{\"url\":\"file://$dir/state\"}",
        jobs => '{"orders":{"command":["/bin/sh","-c","exit"],"stop_timeout":"90s"}}',
        %with
    );
    write_file("$dir/graceful.json",
        '{' . join(',', map { "\"$_\":$keys{$_}" } sort keys %keys) . "}\n");
    return "$dir/graceful.json";
}

subtest 'check' => sub {
    my $file = conf();
    my ($rc, $out, $err) = run('check', '-c', $file);
    is $rc, 0, 'fine' or diag $err;
    like $out, qr/^orders +\S+ +1m30s +30\.0s +\/bin\/sh -c exit$/m, 'overview';
    like $out, qr/^configuration is fine: 1 job$/m, 'verdict';
    (my $dir = $file) =~ s{/[^/]*$}{};
    ok !-e "$dir/run", 'makes nothing';

    write_file("$dir/plain", "no program\n");
    chmod 0644, "$dir/plain";
    my @cases = (
        [ { jobs => '{"a":{"command":["/nowhere/x"]}}' }, qr{jobs\.a\.command: .*/nowhere/x: No such} ],
        [ { jobs => "{\"a\":{\"command\":[\"$dir/plain\"]}}" }, qr{jobs\.a\.command: .*Permission} ],
        [ { jobs => '{"a":{"command":["/bin"]}}' }, qr{jobs\.a\.command: .*/bin: Is a directory} ],
        [
            { jobs => '{"a":{"command":["/bin/sh"],"cwd":"/nowhere"}}' },
            qr{jobs\.a\.cwd: .*/nowhere: No such}
        ],
        [ { run_dir => "\"$dir/plain/run\"" }, qr{run_dir: cannot look at .*: Not a directory} ],
        [ { work_dir => "\"$dir/plain\"" }, qr{work_dir: .* is not a directory} ],
        [ { state => "{\"url\":\"file://$dir/plain\"}" }, qr{state\.url: .* is not a directory} ],
        [
            { coordinator => "{\"type\":\"local\",\"path\":\"$dir/plain\"}" },
            qr{coordinator\.path: .* is not a directory}
        ],
    );
    for my $case (@cases) {
        $file = conf(%{ $case->[0] });
        ($rc, $out, $err) = run('check', '-c', $file);
        is $rc, 78, join ' ', %{ $case->[0] };
        like $err, qr/^\Q$file\E: /m, 'names the file';
        like $err, $case->[1], 'names the key';
        unlike $err, qr/cannot pass through/, 'and advises no mode for what is no directory';
        unlike $out, qr/is fine/, 'is not fine';
    }
    $file = conf(jobs => '{"a":{"command":["/nowhere/x"],"cwd":"/nowhere"},"b":{"command":["/y"]}}');
    ($rc, $out, $err) = run('check', '-c', $file);
    like $err, qr/jobs\.a\.cwd.*jobs\.a\.command.*jobs\.b\.command.*: 3 problems/s, 'all at once';

    write_file($file, '{"jobs":{}, "colour":1, "size":2}');
    ($rc, $out, $err) = run('check', '-c', $file);
    is $rc, 78, 'mistakes in the file';
    like $err, qr/colour.*size.*cannot be used$/sm, 'all of them';
    ($rc, $out, $err) = run('check', '-c', "$top/nothing.json");
    is $rc, 78, 'no file';
};

subtest 'check as the job\'s user' => sub {
    plan skip_all => 'only root can become somebody else' if $> != 0;
    my $dir = new_dir();
    write_file("$dir/mine", "#!/bin/sh\n");
    chmod 0700, "$dir/mine";
    chmod 0755, $top, $dir;
    my $file = conf(jobs => "{\"a\":{\"command\":[\"$dir/mine\"],\"user\":\"nobody\"}}");
    my ($rc, $out, $err) = run('check', '-c', $file);
    is $rc, 78, 'what root may execute';
    like $err, qr{jobs\.a\.command: nobody cannot execute .*/mine: Permission denied}, 'nobody may not';
    chmod 0755, "$dir/mine";
    is((run('check', '-c', $file))[0], 0, 'until it is allowed');
};

subtest 'the configuration leads to the master' => sub {
    my $m = master(status => \&plain_status);
    my $file = conf(run_dir => "\"$m->{dir}\"");
    my ($rc, $out, $err) = run('status', '-c', $file);
    is $rc, 0, 'status -c' or diag $err;
    end_master($m);
    ($rc, $out, $err) = run('status', '-c', $file);
    is $rc, 1, 'and to none';
    like $err, qr/start one with: graceful run -c \Q$file\E$/m, 'says what to do';
    write_file($file, '{');
    ($rc, $out, $err) = run('stop', '-c', $file);
    is $rc, 78, 'broken';
    like $err, qr/give --run-dir/, 'says how to stop all the same';
};

subtest 'run' => sub {
    my ($rc, $out, $err) = run('run', '-c', "$top/nothing.json");
    is $rc, 78, 'no configuration';
    like $err, qr/nothing\.json/, 'names it';
};

done_testing;
