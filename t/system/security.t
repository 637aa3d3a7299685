#!/usr/bin/perl
# Who may do what: what a job is given, what another user's job can do to its neighbours, to the workers and to the files that
# they rely on; and what a master refuses to rely on. Most of it needs root, to run jobs as others.
use strict;
use warnings;

use Fcntl qw(:flock F_RDLCK SEEK_SET);
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json encode_json);
use POSIX ();
use Test::More;

use Graceful::Etcd;
use Graceful::Test qw(birth_of wait_for slurp spew still_run);

my $is_root = $> == 0;
my $box = Graceful::Test->new;
chmod(01777, $box->dir);    # jobs of other users leave notes there

# A job that answers questions: each line of perl in NAME.ask is evaluated, and what comes of it put into NAME.answer.
my $oracle = spew($box->path('oracle'), <<'END');
use JSON::PP;
use POSIX ();
my ($name) = @ARGV;
my $stop;
$SIG{INT} = sub { $stop = 1 };
sub slurp { open(my $in, '<', $_[0]) or return "no: $!"; local $/; my $text = <$in>; return $text }
sub spew { open(my $out, '>', $_[0]) or return "no: $!"; print {$out} $_[1]; close($out) or return "no: $!"; return 'done' }
sub try { return $_[0] ? 'done' : "no: $!" }
my $n = 0;
$n++ while -e "$name.answer.$n";    # by the one before
spew("$ENV{GRACEFUL_STATE}.tmp", "$$\n");
rename("$ENV{GRACEFUL_STATE}.tmp", $ENV{GRACEFUL_STATE});
while (!$stop) {
    select(undef, undef, undef, 0.02);
    next if !-e "$name.ask.$n";
    my $answer = eval(slurp("$name.ask.$n"));
    spew("$name.answer.$n.tmp", JSON::PP->new->allow_nonref->encode($answer // "died: $@"));
    rename("$name.answer.$n.tmp", "$name.answer.$n");
    $n++;
}
END
my %asked;

sub oracle { my ($name) = @_; return [$^X, $oracle, $box->path($name)] }

# In list context what a list reference holds.
sub ask {
    my ($name, $question) = @_;
    my $n = $asked{$name}++ // 0;
    my $file = $box->path("$name.answer.$n");

    spew($box->path("$name.ask.$n.tmp"), $question);
    chmod(0644, $box->path("$name.ask.$n.tmp"));
    rename($box->path("$name.ask.$n.tmp"), $box->path("$name.ask.$n"));
    wait_for("$name to answer \"$question\"", sub { -e $file });
    my $answer = JSON::PP->new->allow_nonref->decode(slurp($file));
    return wantarray && ref($answer) ? @{$answer} : $answer;
}

sub ids { my ($user) = @_; return (getpwnam($user))[2, 3] }

# A command as that user runs it.
sub as { my ($user, @command) = @_; return ('setpriv', '--reuid', (ids($user))[0], '--clear-groups', @command) }

sub stop {
    my ($master, $want) = @_;

    $master->signal('INT');
    is($master->wait_exit, $want // 0, 'every state dumped, every lock released');
    return;
}

# A master that was started carelessly: with descriptors and variables that are nobody else's business.
sub carelessly {
    open(my $file, '<', '/etc/passwd') or die;
    POSIX::dup2(fileno($file), $_) for 7, 8, 63, 200;
    pipe(my $in, my $out) or die;
    POSIX::dup2(fileno($out), 9);
    @ENV{qw(SECRET GRACEFUL_STATE LD_LIBRARY_PATH NOTIFY_SOCKET LISTEN_FDS WATCHDOG_USEC TZ)} =
        ('xyzzy', '/etc/passwd', '/nowhere', '/nowhere', 3, 1, 'Europe/Paris');
    return;
}

sub check_descriptors {
    my ($job) = @_;
    my %fds = %{ ask($job, '+{ map { ($_ => readlink("/proc/self/fd/$_")) } grep { -e "/proc/self/fd/$_" } 0 .. 1023 }') };

    is($fds{0}, '/dev/null', 'stdin');
    like($fds{$_}, qr/^pipe:/, "output $_") for 1, 2;
    delete @fds{0, 1, 2};
    # Perl has its script and its own things open, close-on-exec; what was handed down is not.
    my @leaked = grep { $fds{$_} !~ m{/oracle$|\.ask\.} } sort keys %fds;
    is("@leaked", '', 'and no other descriptor') or diag(explain(\%fds));
    return;
}

sub check_environment {
    my ($job, $user) = @_;
    my %env = %{ ask($job, '+{ %ENV }') };
    my @given = qw(GRACEFUL_EPOCH GRACEFUL_INSTANCE GRACEFUL_JOB GRACEFUL_RESTORED GRACEFUL_STATE HOME LOGNAME MINE
        NOTIFY_SOCKET PATH SHELL TZ USER);

    is(join(' ', sort keys %env), join(' ', @given), 'the environment is built, not inherited');
    is($env{TZ}, 'Europe/Paris', 'pass_env lets one through');
    is($env{MINE}, 'yes', 'env adds one');
    like($env{NOTIFY_SOCKET}, qr{/run-.*/notify/}, 'NOTIFY_SOCKET is its own');
    like($env{GRACEFUL_STATE}, qr{/jobs/$job/state$}, 'and so is GRACEFUL_STATE');
    is($env{USER}, $user, 'USER');
    return;
}

sub check_rights {
    my ($job, $uid, $gid, @groups) = @_;
    my $status = ask($job, 'slurp("/proc/self/status")');

    is(join(' ', $status =~ /^Uid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)/m), "$uid $uid $uid $uid", 'the user, for good');
    is(join(' ', $status =~ /^Gid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)/m), "$gid $gid $gid $gid", 'the group, for good');
    is(join(' ', sort split(' ', ($status =~ /^Groups:[ \t]*(.*)$/m)[0])), join(' ', sort @groups), 'its groups and no others');
    is(join(' ', map { $status =~ /^Cap$_:\s+(\S+)/m } qw(Inh Prm Eff Amb)), join(' ', ('0' x 16) x 4), 'no capability');
    is(($status =~ /^NoNewPrivs:\s+(\d)/m)[0], 1, 'and none to be had');
    return;
}

my %more = (env => { MINE => 'yes' }, pass_env => ['TZ']);

subtest 'what a job is given' => sub {
    my ($uid, $gid) = ids('nobody');
    my $master = $box->start(
        $box->config('given', { given => { command => oracle('given'), ($is_root ? (user => 'nobody') : ()), %more } }),
        sub { carelessly(); $) = "0 4 20 27" if $is_root });

    $master->wait_state(given => 'running');
    check_descriptors('given');
    check_environment('given', $is_root ? 'nobody' : scalar(getpwuid($>)));
    check_rights('given', $uid, $gid, $gid) if $is_root;
    stop($master);
};

subtest 'the same with etcd' => sub {
    plan skip_all => 'not root' if !$is_root;
    plan skip_all => 'etcd is not installed' if !Graceful::Etcd->installed;
    my $etcd = Graceful::Etcd->start;
    my $master = $box->start(
        $box->config('given-etcd', { etcetera => { command => oracle('etcetera'), user => 'nobody', %more } },
            { coordinator => $etcd->coordinator }),
        \&carelessly);

    $master->wait_state(etcetera => 'running');
    check_descriptors('etcetera');
    check_environment('etcetera', 'nobody');
    check_rights('etcetera', ids('nobody'), (ids('nobody'))[1]);
    stop($master);
};

subtest 'groups of a user' => sub {
    plan skip_all => 'not root' if !$is_root;
    my ($name, @groups) = find_member();
    plan skip_all => 'nobody here is a member of two groups' if !defined $name;
    my $master = $box->start($box->config('groups', { member => { command => oracle('member'), user => $name } }));

    $master->wait_state(member => 'running');
    check_rights('member', ids($name), @groups);
    stop($master);
};

# Keys of the session that a master was started in: with possession goes the right to read them, whatever the user.
subtest 'keyrings' => sub {
    plan skip_all => 'not root' if !$is_root;
    plan skip_all => 'the numbers of the system calls are not known here' if (POSIX::uname())[4] ne 'x86_64';
    my ($type, $name, $text) = qw(user graceful-test xyzzy);
    my $read = 'my $text = "\0" x 16; my $n = syscall(250, 11, %d, $text, 16); $n < 0 ? "no: $!" : substr($text, 0, $n)';
    pipe(my $in, my $out) or die;
    my $master = $box->start($box->config('keys', { keys => { command => oracle('keys'), user => 'nobody' }, none => { command => oracle('none') } }),
        sub { syscall(250, 1, 0); syswrite($out, syscall(248, $type, $name, $text, length($text), -3) . "\n") });
    close($out);
    chomp(my $key = <$in>);
    my $unusable = $key <= 0;

    $master->wait_state($_ => 'running') for qw(keys none);
    is(ask('none', sprintf($read, $key)), 'xyzzy', 'the master\'s are for who runs as the same user') if !$unusable;
    like(ask('keys', sprintf($read, $key)), qr/^no: /, 'and for nobody else') if !$unusable;
    stop($master);
};

# Somebody without rights who is in more groups than his own, and all of these.
sub find_member {
    while (my ($name, undef, undef, $members) = getgrent()) {
        for my $user (split(' ', $members)) {
            my ($uid, $gid) = ids($user);
            next if !$uid;
            my %all = ($gid => 1);
            setgrent();
            while (my @g = getgrent()) {
                $all{ $g[2] } = 1 if grep { $_ eq $user } split(' ', $g[3]);
            }
            return ($user, keys %all);
        }
    }
    return;
}

subtest 'a set-user-ID program gives a job nothing' => sub {
    plan skip_all => 'not root' if !$is_root;
    my $id = $box->path('id');
    my ($uid) = ids('nobody');

    system('cp', '/usr/bin/id', $id) == 0 or die;
    chmod(04755, $id);
    plan skip_all => 'the file system of the test has no set-user-ID bits' if qx(setpriv --reuid $uid --clear-groups $id -u) != 0;
    my $master = $box->start($box->config('suid', {
        tied => { command => oracle('tied'), user => 'nobody' },
        free => { command => oracle('free'), user => 'nobody', no_new_privs => JSON::PP::false },
    }));

    $master->wait_state($_ => 'running') for qw(tied free);
    is(ask('tied', "qx($id -u)"), "$uid\n", 'with no_new_privs, the default');
    is(ask('free', "qx($id -u)"), "0\n", 'unless that is switched off');
    stop($master);
};

subtest 'a job and its neighbours' => sub {
    plan skip_all => 'not root' if !$is_root;
    my $master = $box->start($box->config('street', {
        good => { command => oracle('good'), user => 'daemon', checkpoint => '100ms' },
        evil => { command => oracle('evil'), user => 'nobody', checkpoint => '100ms' },
    }));
    my %job = map { $_ => $master->wait_state($_ => 'running') } qw(good evil);
    my ($work, $run) = ($master->{work_dir}, $master->{run_dir});

    wait_for('both to have dumped', sub { !grep { !$master->job($_)->{seq} } qw(good evil) });
    for my $victim (['the master', $master->pid], ['its own worker', $job{evil}{worker_pid}],
        ["another's worker", $job{good}{worker_pid}], ["another's job", $job{good}{job_pid}]) {
        my ($whose, $pid) = @{$victim};
        like(ask('evil', "try(kill('$_', $pid))"), qr/^no: Operation not permitted/, "$_ to $whose") for qw(INT KILL USR1 STOP);
        # PTRACE_ATTACH, by its number
        like(ask('evil', "try(syscall(101, 16, $pid, 0, 0) == 0)"), qr/^no: Operation not permitted/, "ptrace of $whose")
            if (POSIX::uname())[4] eq 'x86_64';
        like(ask('evil', "slurp('/proc/$pid/$_')"), qr/^no: Permission denied/, "$_ of $whose") for qw(environ mem);
        like(ask('evil', "try(opendir(my \$d, '/proc/$pid/fd'))"), qr/^no: Permission denied/, "descriptors of $whose");
    }
    like(ask('evil', "slurp('$work/jobs/good/state')"), qr/^no: Permission denied/, "another job's state");
    like(ask('evil', "spew('$work/jobs/good/state', 'mine')"), qr/^no: Permission denied/, 'cannot be replaced');
    like(ask('evil', "try(opendir(my \$d, '$_'))"), qr/^no: Permission denied/, "cannot list $_") for "$work/jobs", "$run/notify";
    like(ask('evil', "try(rename('$work/jobs/evil', '$work/jobs/other'))"), qr/^no: Permission denied/,
        'cannot move its own directory away');
    like(ask('evil', "try(symlink('/etc', '$_/x'))"), qr/^no: Permission denied/, "cannot plant a link in $_")
        for $work, "$work/jobs", $run, "$run/notify", $box->path('local'), $box->path('store');
    like(ask('evil', "spew('$_', 'x')"), qr/^no: Permission denied/, "cannot write $_")
        for "$run/status.json", "$run/graceful.pid", "$work/graceful.pid", "$work/history";
    like(ask('evil', "slurp('$_/graceful.lock')"), qr/^no: Permission denied/, "the lock of $_") for $run, $work;
    my $send = 'use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => "%s"); try($s && $s->send("READY=1"))';
    like(ask('evil', sprintf($send, "$run/notify/good")), qr/^no: Permission denied/, "another job's NOTIFY_SOCKET");
    is(ask('evil', sprintf($send, "$run/notify/evil")), 'done', 'but its own');
    $master->wait_ready('evil');
    ok(!$master->job('good')->{ready}, 'and nothing of the other');
    is($master->job($_)->{job_pid}, $job{$_}{job_pid}, "$_ runs on") for qw(good evil);
    stop($master);
};

# What the job of the old user could keep open, and give to others of that user, is nothing to the new one.
subtest 'a job that becomes another user\'s' => sub {
    plan skip_all => 'not root' if !$is_root;
    my $define = sub { return $box->config('heir', { heir => { command => oracle('heir'), user => $_[0] } }) };
    my $master = $box->start($define->('nobody'));

    $master->wait_state(heir => 'running');
    my $first = ask('heir', '[ readlink("/proc/self/fd/1"), (stat($ENV{NOTIFY_SOCKET}))[4] ]');
    $define->('daemon');
    $master->signal('HUP');
    wait_for('the new user', sub {
        my $now = $master->job('heir')->{job_pid} // return;
        return ((stat("/proc/$now"))[4] // 0) == (ids('daemon'))[0];
    });
    my $second = ask('heir', '[ readlink("/proc/self/fd/1"), (stat($ENV{NOTIFY_SOCKET}))[4] ]');
    isnt($second->[0], $first->[0], 'another pipe for its output');
    is($second->[1], (ids('daemon'))[0], 'a socket of its own');
    stop($master);
};

# As nobody, and for as long as $during takes: every lock that one may have on the files, whoever else holds it.
sub grabbing {
    my ($files, $during) = @_;
    pipe(my $ready, my $told) or die;
    pipe(my $wait, my $over) or die;
    my $pid = fork() // die;

    if ($pid == 0) {
        my (@held, $whole_file);
        close($over);
        as_nobody();
        for my $file (@{$files}) {
            open(my $in, '<', $file) or next;
            flock($in, LOCK_SH | LOCK_NB);
            fcntl($in, 37, $whole_file = pack('s s x4 q q l x4', F_RDLCK, SEEK_SET, 0, 0, 0));    # F_OFD_SETLK
            push @held, $in;
        }
        syswrite($told, scalar(@held) . "\n");
        sysread($wait, my $byte, 1);
        POSIX::_exit(0);
    }
    close($wait);
    my $n = <$ready>;
    my @result = $during->($n);
    close($over);
    waitpid($pid, 0);
    return @result;
}

subtest 'a stranger cannot keep a master from its directories, nor pass for one' => sub {
    plan skip_all => 'not root' if !$is_root;
    my $conf = $box->config('claim', { claim => { command => oracle('claim') } });
    my $master = $box->start($conf);
    my @locks = map { ("$_/graceful.pid", "$_/graceful.lock") } $master->{run_dir}, $master->{work_dir};
    my @status = ($box->graceful, 'status', '-c', $conf);

    $master->wait_state(claim => 'running');
    is((stat $_)[2] & 07777, /lock$/ ? 0600 : 0644, "the mode of $_") for @locks;
    is(($box->run(as(nobody => @status)))[0], 0, 'everybody may ask for the status');
    rename("$master->{run_dir}/graceful.pid", "$master->{run_dir}/away") or die "rename: $!";
    like(join(' ', ($box->run(as(nobody => @status)))[0, 2]), qr/^1 .*may not ask who locks .*graceful\.lock: be root or the user/,
        'but not whose the lock is, when the PID file is gone');
    is(($box->run(@status))[0], 0, 'which the master\'s user may');
    rename("$master->{run_dir}/away", "$master->{run_dir}/graceful.pid") or die "rename: $!";
    $master->signal('KILL');
    waitpid($master->pid, 0);
    grabbing(\@locks, sub {
        is($_[0] + 0, 2, 'a stranger holds on to what he can read');
        my ($rc, undef, $err) = $box->run(@status);
        like("$rc $err", qr/^1 .*no master runs here/, 'and is not taken for the master');
        # Its number may be another's by now.
        spew("$master->{run_dir}/graceful.pid", "$$\n");
        ($rc, undef, $err) = $box->run($box->graceful, 'stop', '-c', $conf);
        like("$rc $err", qr/^1 .*no master runs here \(.*graceful.lock is not locked/, 'nor is who has got its number');
        my $again = $box->start($conf);
        $again->wait_state(claim => 'running');
        pass('the next master starts');
        ($rc, undef, $err) = $box->run($box->graceful, 'stop', '-c', $conf);
        is("$rc$err", '0', 'and is found and stopped');
        is($again->wait_exit, 0, 'in order');
    });
};

# Starts a master that has to refuse; returns what it says.
sub refused {
    my ($name, $more, $prepare) = @_;
    my $conf = $box->config($name, { idle => { command => ['/bin/sleep', '1000'], stop_signal => 'TERM' } }, $more);
    my $master = $box->start($conf, $prepare);

    is($master->wait_exit, 1, "$name is refused");
    my ($rc, undef, $err) = $box->run($box->graceful, 'check', '-c', $conf);
    like("$rc $err", qr/^78 .*cannot be fulfilled on this machine by uid 0: \d+ problem/s, 'and check sees it before') if !$prepare;
    return $master->log_text;
}

subtest 'directories that somebody else could play with' => sub {
    plan skip_all => 'not root' if !$is_root;
    my ($uid, $gid) = ids('nobody');
    my $dir = $box->path('dirs');

    mkdir($dir);
    mkdir("$dir/$_") for qw(open group theirs);
    chmod(0777, "$dir/open");
    chmod(0775, "$dir/group");
    chown($uid, $gid, "$dir/theirs");
    like(refused('r1', { run_dir => "$dir/open" }),
        qr{"run_dir": \Q$dir\E/open can be written by others than its owner \(mode 0777\).*chmod go-w it}, 'run_dir');
    like(refused('r2', { work_dir => "$dir/group" }), qr{"work_dir": \Q$dir\E/group can be written by others}, 'work_dir');
    like(refused('r3', { work_dir => "$dir/theirs" }),
        qr{"work_dir": \Q$dir\E/theirs belongs to uid $uid, who could replace what is in it}, 'of somebody else');
    like(refused('r4', { work_dir => "$dir/theirs/x/work" }), qr{\Q$dir\E/theirs belongs to uid $uid}, 'below that');
    ok(!-e "$dir/theirs/x", 'where nothing was made');
    like(refused('r5', { run_dir => "$dir/open/run" }), qr{\Q$dir\E/open can be written by others}, 'below an open one');
    like(refused('r6', { coordinator => { type => 'local', path => "$dir/theirs/local" } }),
        qr{"coordinator.path": \Q$dir\E/theirs belongs to}, 'the place of the locks');
    symlink("$dir/theirs", "$dir/link");
    like(refused('r7', { work_dir => "$dir/link" }), qr{\Q$dir\E/theirs belongs to uid $uid}, 'by a link');
};

# A server may show what is ours as another user's.
subtest 'a store that somebody else could play with' => sub {
    plan skip_all => 'not root' if !$is_root;
    my ($uid, $gid) = ids('nobody');
    my $dir = $box->path('lent');
    my $says = qr{\Q$dir\E belongs to uid $uid, who could replace what is in it};

    mkdir($dir);
    chown($uid, $gid, $dir);
    my $conf = $box->config('lent', { idle => { command => ['/bin/sleep', '1000'], stop_signal => 'TERM' } },
        { state => { url => "file://$dir/store" } });
    my ($rc, undef, $err) = $box->run($box->graceful, 'check', '-c', $conf);
    like("$rc $err", qr/^0 .*warning: state.url: $says/s, 'check warns');
    my $master = $box->start($conf);
    $master->wait_log(qr/"state.url": $says/);
    $master->signal('INT');
    is($master->wait_exit, 0, 'the master warns, too, and runs');
};

# Where all may make things, as in /tmp, between the look and the making.
subtest 'a place of the locks that somebody else was quicker to make' => sub {
    plan skip_all => 'not root' if !$is_root;
    plan skip_all => 'no developer build: it has no fault points' unless $box->has_faults;
    my ($uid, $gid) = ids('nobody');
    my $dir = $box->path('sticky');

    mkdir($dir);
    chmod(01777, $dir);
    my $conf = $box->config('quick', { idle => { command => ['/bin/sleep', '1000'], stop_signal => 'TERM' } },
        { coordinator => { type => 'local', path => "$dir/local" } });
    my $master = $box->start($conf, sub {
        $ENV{GRACEFUL_FAULT} = 'master.before_settle=block';
        $ENV{GRACEFUL_FAULT_GO} = $box->path('settle');
    });
    $master->wait_log(qr/before_settle/);
    mkdir("$dir/local");
    chown($uid, $gid, "$dir/local");
    spew($box->path('settle'), '');
    is($master->wait_exit, 1, 'the master refuses it');
    like($master->log_text, qr{"coordinator.path": \Q$dir\E/local belongs to uid $uid}, 'and says why');
    ok(!-e "$dir/local/graceful", 'nothing is kept there');
};

subtest 'directories that a user may not write' => sub {
    plan skip_all => 'not root' if !$is_root;
    my ($uid) = ids('nobody');
    my $dir = $box->path('closed');
    my $advice = qr{name a directory that uid $uid may write, or run it as root: };

    mkdir($dir);
    like(refused('r8', { run_dir => "$dir/run" }, \&as_nobody),
        qr{"run_dir": ${advice}cannot create directory \Q$dir\E/run: Permission denied}, 'it says what to do');
    my ($rc, undef, $err) = $box->run(as(nobody => $box->graceful, 'check', '-c', $box->path('r8.json')));
    is($rc, 78, 'check refuses it, too');
    like($err, qr{run_dir: ${advice}cannot write in \Q$dir\E: Permission denied}, 'in the same words');
};

subtest 'secrets' => sub {
    my $password = spew($box->path('password'), "xyzzy\n");
    my $etcd = { type => 'etcd', endpoints => ['http://127.0.0.1:1'], user => 'me', password_file => $password };
    my $conf = $box->config('secret', { idle => { command => ['/bin/sleep', '1000'] } }, { coordinator => $etcd });
    my ($rc, $out, $err);

    for my $mode (0644, 0640, 0604, 0660, 0666) {
        chmod($mode, $password);
        ($rc, $out, $err) = $box->run($box->graceful, 'check', '-c', $conf);
        like("$rc $err", qr/^78 .*coordinator\.password_file: \Q$password\E is open to others than its owner/, sprintf('mode %04o', $mode));
    }
    chmod(0600, $password);
    ($rc, $out, $err) = $box->run($box->graceful, 'check', '-c', $conf);
    is("$rc$err", '0', '0600 is fine');
    return if !$is_root;
    chown((ids('nobody'))[0], -1, $password);
    ($rc, $out, $err) = $box->run($box->graceful, 'check', '-c', $conf);
    my ($uid) = ids('nobody');
    like("$rc $err", qr/^78 .*belongs to uid $uid, and this runs as uid 0: if graceful runs as uid $uid, run this as that user, too;/,
        'of somebody else');
    chown(0, -1, $password);
    ($rc, $out, $err) = $box->run(as(nobody => $box->graceful, 'check', '-c', $conf));
    like("$rc $err", qr/^78 .*belongs to uid 0, and this runs as uid $uid: .* if it runs as uid $uid, chown it to that$/m,
        'of root, whom one trusts, but which cannot be read');
};

subtest 'directories that the user of a job cannot pass through' => sub {
    plan skip_all => 'only root may run jobs as others' if !$is_root;
    my $conf = $box->config('way', { way => { command => oracle('way'), user => 'nobody' } });

    mkdir($box->path("$_-way")) for qw(run work);
    chmod(0750, $box->path("$_-way")) for qw(run work);
    my ($status, undef, $err) = $box->run($box->graceful, 'check', '-c', $conf);
    is($status, 78, 'the configuration cannot be fulfilled');
    like($err, qr/ jobs\.way\.user: nobody cannot pass through ${_}_dir \S+: Permission denied; let it/, "as ${_}_dir is closed")
        for qw(run work);
    my $master = $box->start($conf);
    $master->wait_log(qr/cannot write its state below "work_dir" as its user: Permission denied/);
    chown(-1, (ids('nobody'))[1], $box->path("$_-way")) for qw(run work);
    is(($box->run($box->graceful, 'check', '-c', $conf))[0], 0, 'by its group it can');
    wait_for('the job runs', sub { -s $box->path('work-way/jobs/way/state') });
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
};

# As nobody, without any right of root.
sub as_nobody {
    my ($uid, $gid) = ids('nobody');

    $) = "$gid $gid";
    POSIX::setgid($gid);
    POSIX::setuid($uid);
    return;
}

# A debugger that takes hold of $pid, as what $become makes of it: its own pid, and 0 if it could.
sub debug {
    my ($pid, $become) = @_;

    pipe(my $told, my $tell) or die;
    my $debugger = fork() // die;
    if ($debugger == 0) {
        $become->();
        syswrite($tell, syscall(101, 0x4206, $pid, 0, 0) . "\n");    # PTRACE_SEIZE
        sleep(1) while 1;
    }
    close($tell);
    chomp(my $seized = <$told>);
    return ($debugger, $seized);
}

sub of_nobody {
    my ($name) = @_;
    my $dir = $box->path($name);

    mkdir($dir);
    chown(ids('nobody'), $dir);
    return $dir;
}

subtest 'wholly unprivileged' => sub {
    plan skip_all => 'not root' if !$is_root;
    my $home = of_nobody('home');
    my %where = (run_dir => "$home/run", work_dir => "$home/work", coordinator => { type => 'local', path => "$home/local" },
        state => { url => "file://$home/store" });
    my $conf = $box->config('plain', { plain => { command => oracle('plain'), checkpoint => '100ms' } }, \%where);
    spew($box->path('plain.log'), '');
    chown(ids('nobody'), $box->path('plain.log'));
    my $master = $box->start($conf, \&as_nobody);

    $master->wait_state(plain => 'running');
    check_rights('plain', ids('nobody'), (ids('nobody'))[1]);
    wait_for('a backup', sub { $master->job('plain')->{seq} });
    is((stat "$home/work/jobs/plain")[2] & 07777, 0700, "the job's directory");
    stop($master);
    my $again = $box->start($conf);
    is($again->wait_exit, 1, 'root does not go on with directories of somebody else');
    like($again->log_text, qr/belongs to uid \d+, who could replace what is in it: it has to belong to root; choose another place, or run this as/, 'and says why');
};

# Not even the files that its own user may not read need to be looked at to find a master.
subtest 'the commands of three users, of an unprivileged master' => sub {
    plan skip_all => 'not root' if !$is_root;
    my $home = of_nobody('hands');
    my $password = spew("$home/password", "xyzzy\n");
    my %where = (run_dir => "$home/run", work_dir => "$home/work", state => { url => "file://$home/store" });
    my $etcd = { type => 'etcd', endpoints => ['http://127.0.0.1:1'], user => 'me', password_file => $password };
    my $conf = $box->config('hands', { idle => { command => ['/bin/sleep', '1000'] } }, { %where, coordinator => $etcd });

    chown(ids('nobody'), $password);
    chmod(0600, $password);
    spew($box->path('hands.log'), '');
    chown(ids('nobody'), $box->path('hands.log'));
    my $master = $box->start($conf, \&as_nobody);
    wait_for('a worker', sub { $master->job('idle')->{worker_pid} });
    for my $user (qw(root nobody daemon)) {
        my ($rc, $out, $err) = $box->run(as($user => $box->graceful, 'status', '-c', $conf));
        is("$rc$err", '0', "status, as $user");
        ($rc, $out, $err) = $box->run(as($user => $box->graceful, 'history', '-c', $conf));
        like("$rc $err", qr/^0 .*no hand-over of any job is known/, "history, as $user");
    }
    my ($rc, $out, $err);
    chmod(0750, $home);
    for my $command (qw(status history)) {
        ($rc, $out, $err) = $box->run(as(daemon => $box->graceful, $command, '-c', $conf));
        like("$rc $err", qr/^1 .*Permission denied; be root or the user that graceful runs as/, "$command, of what is closed to others");
    }
    chmod(0755, $home);
    ($rc, $out, $err) = $box->run(as(daemon => $box->graceful, 'stop', '-c', $conf));
    like("$rc $err", qr/^1 .*not allowed to signal the master .*be root or the user that it runs as/, 'a stranger may not stop it');
    ($rc, $out, $err) = $box->run($box->graceful, 'checkpoint', '-c', $conf);
    is("$rc$err", '0', 'root may have it checkpoint');
    ($rc, $out, $err) = $box->run($box->graceful, 'stop', '-c', $conf);
    is("$rc$err", '0', 'and stop');
    is($master->wait_exit, 0, 'in order');
};

subtest 'the commands of three users, of a master of root' => sub {
    plan skip_all => 'not root' if !$is_root;
    my $conf = $box->config('estate', { good => { command => oracle('estate'), user => 'daemon' } });
    my $master = $box->start($conf);

    $master->wait_state(good => 'running');
    wait_for('the hand-over to be noted', sub { -s "$master->{work_dir}/history" });
    for my $user (qw(root daemon nobody)) {
        for my $command (qw(status history)) {
            my ($rc, $out, $err) = $box->run(as($user => $box->graceful, $command, '-c', $conf));
            like("$rc $out$err", qr/^0 .*good/s, "$command, as $user");
        }
        my ($rc, $out, $err) = $box->run(as($user => $box->graceful, 'status', '--cluster', '-c', $conf));
        like("$rc $out$err", $user eq 'root' ? qr/^0 .*good/s : qr/^1 .*Permission denied; be root or the user that graceful runs as/,
            "status --cluster, as $user");
    }
    my $eager = $box->config('eager', { eager => { command => ['/bin/true'], nice => -5, limits => { nofile => [ 1, 2**40 ] } } });
    my (undef, undef, $warnings) = $box->run(as(nobody => $box->graceful, 'check', '-c', $eager));
    like($warnings, qr/jobs\.eager\.limits\.nofile: a hard limit of 1099511627776 cannot be set, as ours is \d+: .*, or root$/m, 'check: a limit that takes root');
    like($warnings, qr/jobs\.eager\.nice: -5 is below what we have: .*, or root$/m, 'and a priority');
    spew($conf, slurp($conf) =~ s/"daemon"/"no-such-user"/r);
    my ($rc, $out, $err) = $box->run($box->graceful, 'stop', '-c', $conf);
    is("$rc$err", '0', 'a stop needs no file without mistakes');
    is($master->wait_exit, 0, 'in order');
};

subtest 'the memory of a worker with a password in it' => sub {
    plan skip_all => 'not root' if !$is_root;
    my $home = of_nobody('vault');
    my $password = spew("$home/password", "xyzzy\n");
    my %where = (run_dir => "$home/run", work_dir => "$home/work", state => { url => "file://$home/store" });
    my $etcd = { type => 'etcd', endpoints => ['http://127.0.0.1:1'], user => 'me', password_file => $password };

    chown(ids('nobody'), $password);
    chmod(0600, $password);
    spew($box->path('vault.log'), '');
    chown(ids('nobody'), $box->path('vault.log'));
    my $master = $box->start(
        $box->config('vault', { idle => { command => ['/bin/sleep', '1000'] } }, { %where, coordinator => $etcd }), \&as_nobody);
    my $worker = wait_for('a worker', sub { $master->job('idle')->{worker_pid} });

    # What cannot be dumped or traced by its own user belongs to root in /proc.
    wait_for('it to be closed', sub { (stat "/proc/$worker/fd")[4] == 0 });
    is((stat('/proc/' . $master->pid . '/fd'))[4], (ids('nobody'))[0], 'the master has none, and is not');
    stop($master);
};

# A process of the job's user that is none of the job holds on to it by ptrace: its end is told to that one alone.
subtest 'a debugger that keeps what has ended' => sub {
    plan skip_all => 'not root' if !$is_root;
    plan skip_all => 'the numbers of the system calls are not known here' if (POSIX::uname())[4] ne 'x86_64';
    my $box2 = Graceful::Test->new;
    my $master = $box2->start($box2->config('debug', {
        held => { command => ['/bin/sleep', '1000'], user => 'nobody', stop_timeout => '300ms', hurry_timeout => '100ms' } }));
    my $pid = $master->wait_state(held => 'running')->{job_pid};
    my ($debugger, $seized) = debug($pid, \&as_nobody);

    SKIP: {
        skip('ptrace is not allowed here', 2) if $seized != 0;
        $master->signal('INT');
        is($master->wait_exit, 3, 'the stop ends, without a dump');
        like(slurp("/proc/$pid/status"), qr/^State:\s+Z/m, 'though the debugger keeps the process');
    }
    kill('KILL', $debugger);
    waitpid($debugger, 0);
};

# Nor is it worth more when the worker is what it has: that has ended, and its lock is given back.
subtest 'a debugger that keeps a worker' => sub {
    plan skip_all => 'the numbers of the system calls are not known here' if (POSIX::uname())[4] ne 'x86_64';
    my $box2 = Graceful::Test->new;
    my $master = $box2->start($box2->config('kept', { held => { command => ['/bin/sleep', '1000'] } }));
    my $pid = $master->wait_state(held => 'running')->{worker_pid};
    my ($debugger, $seized) = debug($pid, sub { });

    SKIP: {
        skip('ptrace is not allowed here', 4) if $seized != 0;
        $master->signal('QUIT');
        # By the kernel's INT at its worker's end the job ended well, as it has no state; by the master's KILL it did not.
        like($master->wait_exit, qr/^[03]$/, 'the stop ends');
        like(slurp("/proc/$pid/status"), qr/^State:\s+Z/m, 'though the debugger keeps the worker');
        like($master->log_text, qr/held: the worker has ended, but a debugger keeps us from reaping it pid=$pid/, 'which is told');
        # SIGCONT, which goes with QUIT, stops it for its debugger: before it has released the lock, so that its rescue does; or behind
        # that, and nobody tells of it.
        like($master->log_text, qr/locks_released=[01] unclean=[01] left=0/, 'and no lock is left');
    }
    kill('KILL', $debugger);
    waitpid($debugger, 0);
};

# The attacks of one job: each is begun, and then the master has to go on as if nothing were.
my $flood = <<'END';
use IO::Socket::UNIX;
for my $i (1 .. 3) {
    next if fork();
    my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET}) or exit(1);
    my @words = ("STATUS=" . "\x{1}x\n" x 1000, "WATCHDOG=1", "READY=1", "EXTEND_TIMEOUT_USEC=999999999999", "\0" x 4000, "STATUS=$i");
    while (1) { $s->send($words[rand(@words)]) }
}
'fork';
END
my $shout = <<'END';
if (!fork()) {
    $SIG{INT} = 'IGNORE';
    while (1) { syswrite(STDOUT, "\0\x1b[2Jnoise\n" x 2000) }
}
'fork';
END
my $bomb = <<'END';
defined(my $child = fork()) or return "no: $!";
if ($child == 0) {
    setpgrp(0, 0);
    $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
    # With a moment between, as this machine is not ours alone.
    while (1) { my $pid = fork(); POSIX::setsid() if defined $pid && $pid == 0; select(undef, undef, undef, 0.05) }
}
'fork';
END
# A lease makes whoever opens the file wait, or fail, until it is given back.
my $lease = <<'END';
use Fcntl;
our $held;
$SIG{IO} = 'IGNORE';
open($held, '+<', $ENV{GRACEFUL_STATE}) or return "no: $!";
return fcntl($held, 1024, 1) ? 'done' : "no: $!";
END
my $grow = <<'END';
if (!fork()) {
    while (1) {
        open(my $out, '>>', $ENV{GRACEFUL_STATE}) or exit(1);
        truncate($out, 0) if -s $out > 50_000_000;
        syswrite($out, 'x' x 65536);
    }
}
'fork';
END

sub evil_pair {
    my ($name, $more) = @_;
    my $master = $box->start($box->config($name, {
        "evil-$name" => { command => oracle("evil-$name"), ($is_root ? (user => 'nobody') : ()), stop_timeout => '3s', hurry_timeout => '500ms',
            checkpoint => '100ms', %{ $more // {} } },
        "good-$name" => { command => oracle("good-$name"), ($is_root ? (user => 'daemon') : ()), checkpoint => '100ms' },
    }));

    for my $job ("evil-$name", "good-$name") {
        $master->wait_state($job => 'running');
        wait_for("$job to be backed up", sub { $master->job($job)->{seq} });
    }
    return $master;
}

# The neighbour can go on, and the master hears: a hand-over of the one, a checkpoint of the other.
sub check_neighbour {
    my ($master, $name) = @_;
    my $seq = $master->job("good-$name")->{seq};

    is(ask("good-$name", 'spew("$ENV{GRACEFUL_STATE}.tmp", "more") eq "done" && try(rename("$ENV{GRACEFUL_STATE}.tmp", $ENV{GRACEFUL_STATE}))'),
        'done', 'the neighbour writes a state');
    $master->signal('USR1');
    wait_for('it to be backed up', sub { $master->job("good-$name")->{seq} > $seq });
    pass('which is backed up');
    return;
}

# Everything that the job forked is gone, whatever it did.
sub check_end {
    my ($master, $name, @status) = @_;
    my %births = map { $_ => birth_of($_) } $master->descendants;

    $master->signal('INT');
    my $status = $master->wait_exit;
    ok((grep { $status == $_ } @status), "the master ends ($status)");
    is(join(' ', still_run(%births)), '', 'and leaves nobody behind');
    return;
}

subtest 'floods' => sub {
    my $master = evil_pair('flood');

    is(ask('evil-flood', $_), 'fork', 'a flood begins') for $flood, $shout;
    wait_for('the flood to arrive', sub { $master->job('evil-flood')->{ready} });
    check_neighbour($master, 'flood');
    check_end($master, 'flood', 0, 3);
};

subtest 'a fork bomb' => sub {
    my $master = evil_pair('bomb', { limits => { nproc => 40 } });

    # The limit is for all that runs as this user on the machine, others' included.
    wait_for('it is lit', sub { ask('evil-bomb', $bomb) eq 'fork' });
    check_neighbour($master, 'bomb');
    check_end($master, 'bomb', 0, 3);
};

subtest 'a state that cannot be opened, or read to its end' => sub {
    my $master = evil_pair('state');

    like(ask('evil-state', "eval { $lease } // \$\@"), qr/^done|^no/, 'a lease on the file') or diag('?');
    check_neighbour($master, 'state');
    is(ask('evil-state', 'close($held); unlink($ENV{GRACEFUL_STATE}); ' . $grow), 'fork', 'a file that grows and shrinks all the time');
    check_neighbour($master, 'state');
    check_end($master, 'state', 0, 3);
};

subtest 'a state of holes' => sub {
    my $master = evil_pair('holes', { state_max => '1MiB' });

    is(ask('evil-holes', 'open(my $out, ">", "$ENV{GRACEFUL_STATE}.tmp"); truncate($out, 1 << 40); close($out);
        try(rename("$ENV{GRACEFUL_STATE}.tmp", $ENV{GRACEFUL_STATE}))'), 'done', 'a terabyte of nothing');
    $master->wait_log(qr/evil-holes: .*the state is too large: 1099511627776 bytes/);
    check_neighbour($master, 'holes');
    check_end($master, 'holes', 3);
};

subtest 'a directory without rights' => sub {
    my $master = evil_pair('dir');
    my $dir = "$master->{work_dir}/jobs/evil-dir";

    is(ask('evil-dir', "mkdir('$dir/.restore-1'); mkdir('$dir/.restore-1/x'); symlink('/etc/passwd', '$dir/.restore-2');
        for (1 .. 2000) { open(my \$o, '>', '$dir/.restore-a\$_') }; try(chmod(0, '$dir', '$dir/state'))"), 'done', 'a trap is set');
    check_neighbour($master, 'dir');
    my $before = slurp('/etc/passwd');
    my $worker = $master->job('evil-dir')->{worker_pid};
    kill('KILL', $worker);
    wait_for('another worker to run it', sub {
        my $now = $master->job('evil-dir');
        ($now->{state} // '') eq 'running' && ($now->{worker_pid} // $worker) != $worker;
    });
    ok(slurp('/etc/passwd') eq $before, 'nothing else was touched');
    is((stat $dir)[2] & 07777, 0700, 'the directory is as it should be');
    check_neighbour($master, 'dir');
    check_end($master, 'dir', 0, 3);
};

done_testing();
