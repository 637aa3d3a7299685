#!/usr/bin/perl
# The master as process 1 of a PID namespace, as in a container: what "docker stop" and "docker exec" do to it, the signals that
# the kernel keeps from process 1, and orphans that are nobody's.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use POSIX qw(setsid);
use Test::More;

use Graceful::Actor;
use Graceful::Test qw(alive children_of slurp spew wait_for);

my @unshare = (qw(unshare --pid --fork --mount-proc --kill-child), $> == 0 ? () : qw(--user --map-root-user));

# Also that a process of the namespace can be entered, as "docker exec" does.
sub permitted {
    my $box = Graceful::Test->new;
    my ($status, $out, $err) = $box->run(@unshare, qw(sh -c), 'echo $$');

    return $status == 0 && $out eq "1\n" ? undef : "no PID namespaces here: $err";
}

my $why_not = permitted();
plan(skip_all => $why_not) if defined $why_not;

# A box, the journal of its job, and a master that is process 1, without a terminal; its own PID is of this side. The wrapper around
# it passes its exit status on.
sub contained {
    my ($words, @options) = @_;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders')->elsewhere;
    my $conf = $box->config('web-1', { orders => {
        command => $actor->command(map { s/^hold$/'hold=' . $box->path('go')/er } @{$words}),
        stop_timeout => '200s', hurry_timeout => '60s',
    } });

    return ($box, $actor, start_contained($box, $conf, @options), $conf);
}

sub start_contained {
    my ($box, $conf, @options) = @_;
    my $wrapper = $box->start($conf, sub {
        setsid();
        exec(@unshare, $box->graceful, 'run', '-c', $conf, @options) or POSIX::_exit(127);
    });
    my $pid = wait_for('a process in the namespace', sub {
        return (grep { slurp("/proc/$_/status") =~ /^NSpid:\s+\d+\s+1$/m } children_of($wrapper->pid))[0];
    });

    wait_for('process 1 serves', sub {
        die $wrapper->log_text if $wrapper->ended;
        return $wrapper->status->{jobs}{orders}{ready};
    });
    return ($wrapper, $pid);
}

# As "docker exec" does: a process of the namespace whose parent is none.
sub inside {
    my ($box, $pid, @command) = @_;

    return $box->run('nsenter', '-t', $pid, ($> == 0 ? () : qw(-U --preserve-credentials)), qw(-p -m), @command);
}

sub ended_well {
    my ($actor, $wrapper) = @_;

    is($wrapper->wait_exit, 0, 'exit status');
    is_deeply([grep { /^[A-Z]+\d?$/ } $actor->lines], ['INT'], 'the job was told once');
    is($actor->count(qr/^dumped 1$/), 1, 'and dumped');
    is($wrapper->status->{exit}, 0, 'every lock is released');
    return;
}

subtest '"docker stop"' => sub {
    my ($box, $actor, $wrapper, $pid) = contained([]);

    is($wrapper->status->{pid}, 1, 'the master is process 1');
    kill('TERM', $pid);
    ended_well($actor, $wrapper);
};

subtest '"docker exec graceful stop"' => sub {
    my ($box, $actor, $wrapper, $pid, $conf) = contained([]);
    my ($status, $out, $err) = $box->run($box->graceful, 'stop', '-c', $conf);

    is($status, 1, 'from outside nobody can tell which process is meant');
    like($err, qr/is held by another process than pid 1: .* in another PID namespace, as of a container: ask there/, 'and what to do');
    ($status, $out, $err) = inside($box, $pid, $box->graceful, 'stop', '-c', $conf);

    # The last process takes those that were sent in with it.
    ok($status == 0 || $status == 137, 'exit status of the command') or diag($status, $err);
    ended_well($actor, $wrapper);
};

subtest 'signals that the kernel keeps from process 1, and others that it has no use for' => sub {
    my ($box, $actor, $wrapper, $pid) = contained([]);

    inside($box, $pid, qw(sh -c), "kill -$_ 1") for qw(KILL STOP ALRM VTALRM PROF IO);
    kill($_, $pid) for qw(ALRM USR2);
    inside($box, $pid, qw(sh -c), 'kill -HUP 1');
    wait_for('a reload', sub { $wrapper->status->{config} });
    is($actor->count(qr/^start/), 1, 'the job runs on');
    inside($box, $pid, qw(sh -c), 'kill -INT 1');
    ended_well($actor, $wrapper);
};

subtest 'orphans' => sub {
    my ($box, $actor, $wrapper, $pid) = contained([]);

    inside($box, $pid, qw(sh -c), 'sleep 0.1 & exit 0');
    $wrapper->wait_log(qr/reaped an orphan/);
    is_deeply([grep { slurp("/proc/$_/stat") =~ /\) Z/ } children_of($pid)], [], 'no zombies');
    kill('TERM', $pid);
    ended_well($actor, $wrapper);
};

subtest 'the death of a worker' => sub {
    my ($box, $actor, $wrapper, $pid) = contained([]);
    my $worker = $wrapper->status->{jobs}{orders}{worker_pid};

    inside($box, $pid, qw(sh -c), "kill -KILL $worker");
    $actor->wait_for_line(qr/^start .*restored=clean count=1/);
    is($actor->count(qr/^overlap/), 0, 'never two at once');
    wait_for('it runs again', sub { $wrapper->status->{jobs}{orders}{ready} });
    kill('TERM', $pid);
    is($wrapper->wait_exit, 0, 'exit status');
    is($actor->count(qr/^dumped 2$/), 1, 'with all that was counted');
};

subtest 'the namespace is killed, and the next one goes on from the last backup' => sub {
    my ($box, $actor, $wrapper, $pid, $conf) = contained(['early']);

    inside($box, $pid, qw(sh -c), 'kill -USR1 1');
    wait_for('a backup', sub { $wrapper->status->{jobs}{orders}{seq} });
    kill('KILL', $pid);
    isnt($wrapper->wait_exit, 0, 'exit status');
    my ($next, $next_pid) = start_contained($box, $conf);
    $actor->wait_for_line(qr/^start .*restored=crash count=0/);
    is($actor->count(qr/^overlap/), 0, 'never two at once');
    kill('TERM', $next_pid);
    is($next->wait_exit, 0, 'exit status');
};

subtest 'readiness by SIGSTOP makes no sense' => sub {
    my ($box, $actor, $wrapper, $pid) = contained([], '--ready=sigstop');

    like($wrapper->log_text, qr/process 1 cannot be stopped/, 'the master says so, and serves');
    kill('TERM', $pid);
    ended_well($actor, $wrapper);
};

done_testing;
