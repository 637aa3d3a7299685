#!/usr/bin/perl
# What jobs say on NOTIFY_SOCKET, and what comes of it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use utf8;

use IO::Socket::UNIX;
use JSON::PP qw(decode_json);
use POSIX ();
use Socket qw(pack_sockaddr_un);
use Test::More;

use Graceful::Test qw(wait_for slurp spew);

my $box = Graceful::Test->new;
chmod(01777, $box->dir);    # jobs of other users leave notes there

# For jobs: a command "notify TEXT" with nothing but Perl.
my $notify = $box->path('notify');
spew($notify, <<'END');
use IO::Socket::UNIX;
my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET}) or die "$!";
$s->send(join("\n", @ARGV)) // die "$!";
END
my $say = "$^X $notify";

# Sends from here: as the same user as the job's, or as root.
sub send_to {
    my ($master, $job, $text) = @_;
    my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => "$master->{run_dir}/notify/$job") or die "$job: $!";

    defined $socket->send($text) or die "$job: $!";
    return;
}

sub wait_field {
    my ($master, $job, $field, $value) = @_;
    return wait_for("$field of $job to be $value", sub { ($master->job($job)->{$field} // '') eq $value });
}

sub start {
    my ($instance, $jobs) = @_;
    my $master = $box->start($box->config($instance, $jobs));

    for my $job (sort keys %{$jobs}) {
        $master->wait_state($job => 'running');
        wait_for("$job to be up", sub { -e $box->path("$job.up") });
    }
    return $master;
}

sub job {
    my ($name, $start, $stop) = @_;
    return $box->job($name, ($start // '') . "\ntouch \"\$dir/$name.up\"", $stop);
}

subtest 'READY and STATUS' => sub {
    my $master = start('web-1', { talker => { command => job('talker') }, mute => { command => job('mute') } });
    my ($rc, $out);

    ok(!$master->job('talker')->{ready}, 'not ready at first');
    send_to($master, talker => "STATUS=taking up\nREADY=1");
    ok(wait_field($master, talker => status => 'taking up'), 'STATUS');
    ok($master->job('talker')->{ready}, 'and READY in one message');
    ok(!$master->job('mute')->{ready}, 'of one job only');
    ($rc, $out) = $box->run($box->graceful, 'status', '-c', $master->{conf});
    like($out, qr/^talker .*taking up/m, 'graceful status shows it');
    send_to($master, talker => "STATUS=\x{c3}\x{bc}ber \xff\x1b[2J \"\\");
    ok(wait_field($master, talker => status => "über ??[2J \"\\"), 'what is not text becomes "?"');
    send_to($master, talker => 'STATUS=' . 's' x 3000);
    wait_for('the long one', sub { ($master->job('talker')->{status} // '') =~ /^s+$/ });
    cmp_ok(length $master->job('talker')->{status}, '<', 512, 'is cut');
    send_to($master, talker => $_) for '', "\0", '=', "READY=0\n", 'READY', "\n\n\n", "STATUS\0=x", 'X' x 10_000, join("\n", ('A=1') x 2000), pack("C*", 0 .. 255);
    send_to($master, talker => 'STATUS=');
    wait_for('an empty STATUS to take it away', sub { !defined $master->job('talker')->{status} });
    ok($master->job('talker')->{ready}, 'rubbish changed nothing');
    send_to($master, talker => "STOPPING=1\nSTATUS=on my own");
    ok(wait_field($master, talker => status => 'on my own'), 'STOPPING does no harm');
    send_to($master, talker => "STATUS=$_") for 1 .. 2000;
    ok(wait_field($master, talker => status => '2000'), 'the last of a flood counts');
    kill 'KILL', $master->job('talker')->{job_pid};
    wait_for('a new start', sub { my $job = $master->job('talker'); ($job->{restarts} // 0) == 1 && $job->{state} eq 'running' });
    ok(!$master->job('talker')->{ready}, 'a new start is not ready');
    ok(!exists $master->job('talker')->{status}, 'and has said nothing');
    $master->signal('INT');
    is($master->wait_exit, 0, 'stopped');
};

# More than is heard at once, and then it ends. Here the worker stands before the second start while that gets into the socket.
subtest 'what the run before had to say' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless $box->has_faults;
    my $second = "[ -e \"\$dir/late.up\" ] && $say STATUS=second";
    my $master = $box->start($box->config('web-1', { late => { command => job('late', $second), restart_min => '10ms' } }), sub {
        $ENV{GRACEFUL_FAULT} = 'worker.before_spawn=block::2';
        $ENV{GRACEFUL_FAULT_GO} = $box->path('late.go');
    });

    wait_for('the first run', sub { -e $box->path('late.up') });
    kill('KILL', $master->wait_state(late => 'running')->{job_pid});
    $master->wait_log(qr/^fault: before_spawn/m);
    send_to($master, late => 'READY=1') for 1 .. 4;
    spew($box->path('late.go'), '');
    wait_field($master, late => status => 'second');
    ok(!$master->job('late')->{ready}, 'does not make the next one ready');
    $master->signal('INT');
    is($master->wait_exit, 0, 'stopped');
};

subtest 'systemd-notify' => sub {
    plan skip_all => 'it is not installed' unless grep { -x "$_/systemd-notify" } split(/:/, $ENV{PATH});
    my $user = $> == 0 ? { user => 'nobody' } : {};
    my $master = start('web-1', { clerk => { command => job('clerk', 'systemd-notify --ready --status="by the book"') , %{$user} } });

    ok(wait_field($master, clerk => status => 'by the book'), 'STATUS');
    ok($master->job('clerk')->{ready}, 'READY');
    $master->signal('INT');
    is($master->wait_exit, 0, 'stopped');
};

subtest 'a descriptor that takes an hour to close' => sub {
    my $program = $box->path('burden');
    my @cc = split(' ', $ENV{CC} // 'cc');
    system("@cc -o '$program' '$FindBin::Bin/../lib/burden.c' 2>'$program.log'");
    plan(skip_all => 'there is no compiler') unless -x $program;
    my $master = $box->start($box->config('web-1',
        { burden => { command => [ $program, $box->dir ], ($> == 0 ? (user => 'nobody') : ()) } }));
    my $worker = $master->wait_state(burden => 'running')->{worker_pid};

    # So that it is the last one to have it.
    kill('STOP', $worker);
    spew($box->path('go'), '');
    wait_for('the job to pass it on', sub { -e $box->path('done') });
    kill('CONT', $worker);
    $master->signal('INT');
    is($master->wait_exit, 0, 'stopped');
    unlike($master->log_text, qr/the worker hangs/, 'by a worker that heard it at once');
};

subtest 'a foreign user' => sub {
    plan skip_all => 'needs root' if $> != 0;
    my $master = start('web-1', { guarded => { command => job('guarded') }, his => { command => job('his'), user => 'nobody' } });
    my $as = sub {
        my ($uid, $job, $text) = @_;
        my $pid = fork() // die;

        if ($pid == 0) {
            POSIX::setgid($uid);
            POSIX::setuid($uid);
            my $ok = eval { send_to($master, $job => $text); 1 };
            POSIX::_exit($ok ? 0 : 1);
        }
        waitpid($pid, 0);
        return $? == 0;
    };

    ok($as->(65534, his => "STATUS=mine"), "the job's user may send");
    ok(wait_field($master, his => status => 'mine'), 'and is heard');
    ok(!$as->(65534, guarded => 'STATUS=forged'), 'a foreign one does not get at the socket');
    chmod(0777, "$master->{run_dir}/notify", "$master->{run_dir}/notify/$_") for qw(guarded his);
    ok($as->(65534, guarded => 'STATUS=forged'), 'and if it did');
    $master->wait_log(qr/guarded: ignored a notification from pid \d+ of user 65534/, 'that it was refused');
    ok($as->(65533, his => 'STATUS=forged'), 'also');
    $master->wait_log(qr/his: ignored a notification from pid \d+ of user 65533/, 'that it was refused');
    ok(!exists $master->job('guarded')->{status}, 'nothing came of it');
    is($master->job('his')->{status}, 'mine', 'here neither');
    chmod(0711, "$master->{run_dir}/notify");
    $master->signal('INT');
    is($master->wait_exit, 0, 'stopped');
};

subtest 'WATCHDOG' => sub {
    my $master = start('web-1', {
        dog => {
            command => job('dog', "echo d | dump; $say READY=1"),
            watchdog => '8s', restart_min => '10ms', checkpoint => '100ms',
        },
        # It lets seconds pass between two signs of life only if this machine stands still.
        lively => {
            command => [ $^X, '-e', <<'END', $box->path('lively.up') ],
use IO::Socket::UNIX;
my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET}) or die;
$SIG{INT} = sub { exit 0 };
open my $up, '>', "$ARGV[0].new";
print {$up} $ENV{WATCHDOG_USEC};
close $up;
rename "$ARGV[0].new", $ARGV[0];
$s->send("READY=1");
while (1) { select undef, undef, undef, 0.05; $s->send("WATCHDOG=1") }
END
            watchdog => '8s',
        },
        never => { command => job('never'), watchdog => '100ms' },
        deaf => {
            command => job('deaf', "trap '' ABRT; $say READY=1"),
            watchdog => '100ms', hurry_timeout => '100ms', restart_min => '1h', restart_max => '1h',
        },
    });

    is(slurp($box->path('lively.up')), '8000000', 'WATCHDOG_USEC');
    $master->wait_log(qr/ dog: the job gave no sign of life for its watchdog time: sent SIGABRT/, 'the watchdog to bark');
    $master->wait_log(qr/ dog: the job was ended by SIGABRT/, 'the end');
    $master->wait_log(qr/ deaf: the job was ended by SIGKILL, as it gave no sign of life/, 'and that of one that ignores it');
    wait_for('the restart', sub { ($master->job('dog')->{restarts} // 0) >= 1 });
    $master->wait_state(dog => 'running');
    is($master->job('lively')->{restarts}, 0, 'who gives signs of life lives');
    is($master->job('never')->{restarts}, 0, 'the watchdog waits for the first sign of life');
    $master->signal('INT');
    is($master->wait_exit, 0, 'stopped');
};

subtest 'EXTEND_TIMEOUT' => sub {
    my $wait = 'until [ -e "$dir/gate" ]; do sleep 0.01; done; echo dumped | dump';
    my %times = (stop_timeout => '20s', hurry_timeout => '10ms');
    my $master = start('web-1', {
        patient => { command => job('patient', '', "trap '' TERM; $say EXTEND_TIMEOUT_USEC=600000000; $wait"), %times },
        late => { command => job('late', '', "trap '' TERM; $wait"), %times },
        asks => { command => job('asks', "$say EXTEND_TIMEOUT_USEC=600000000 STATUS=asked", "trap '' TERM; $wait"), %times },
    });

    wait_field($master, asks => status => 'asked');

    $master->signal('INT');
    $master->wait_log(qr/ late: the job was ended by SIGKILL/, 'the one that does not ask for time to be killed');
    $master->wait_log(qr/ asks: the job was ended by SIGKILL/, 'and the one that asked before the stop');
    is($master->job('patient')->{state}, 'dumping', 'the one that asks has its time');
    spew($box->path('gate'), '');
    is($master->wait_exit, 3, 'two were not dumped');
    is($master->status->{jobs}{patient}{size}, 7, 'one was');
    ok($master->status->{jobs}{patient}{clean}, 'cleanly');
    unlike($master->log_text, qr/ patient: .*SIGKILL/, 'it was not killed');
};

done_testing();
