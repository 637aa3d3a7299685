#!/usr/bin/perl
# A job that goes from machine to machine while its input never stops: every event counts exactly once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Handle;
use POSIX ();
use Test::More;

use Graceful::Test qw(wait_for slurp spew end_of);

plan skip_all => 'tally is not built' unless -x Graceful::Test->tally;

# Writes events until told to end: each line begins with a word of its own, so that one that is lost and one that is counted
# twice cannot make up for each other. Now and then the file is rotated.
package Events;

sub new {
    my ($class, $path) = @_;
    pipe(my $in, my $out) or die;
    my $pid = fork() // die;

    if ($pid == 0) {
        close($out);
        $SIG{INT} = 'IGNORE';
        write_on($path, $in);
        POSIX::_exit(0);
    }
    close($in);
    return bless({ pid => $pid, leash => $out, owner => $$, path => $path }, $class);
}

# Until the other end of $leash is closed, also by the death of the test.
sub write_on {
    my ($path, $leash) = @_;
    my $n = 0;

    while (1) {
        open(my $file, '>>', $path) or die;
        $file->autoflush(1);
        for (1 .. 200) {
            print {$file} join('', map { 'e' . ++$n . " some text\n" } 1 .. 5);
            my $bits = '';
            vec($bits, fileno($leash), 1) = 1;
            if (select($bits, undef, undef, 0.004)) {
                Graceful::Test::spew("$path.total", $n);
                return;
            }
        }
        close($file);
        next if -e "$path.1";
        rename($path, "$path.1") or die;
    }
}

# Ends the writer; returns how many events there were.
sub total {
    my ($self) = @_;

    close($self->{leash});
    waitpid($self->{pid}, 0);
    $self->{ended} = 1;
    return Graceful::Test::slurp("$self->{path}.total") + 0;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$ || $self->{ended};
    local $?;
    close($self->{leash});
    waitpid($self->{pid}, 0);
    return;
}

package main;

my $box = Graceful::Test->new;

sub tally_job {
    my ($name, $events) = @_;
    return {
        command => [ $box->tally, '--interval', '20', $events ],
        checkpoint => '100ms', restart_min => '10ms', max_failures => 100,
    };
}

# How often the state that $master holds counts each event.
sub account {
    my ($master, $job, $total) = @_;
    my ($rc, $out) = $box->run($box->tally, '--show', "$master->{work_dir}/jobs/$job/state");
    my %times;

    is($rc, 0, "the state of $job can be read");
    $times{$2} = $1 while $out =~ /^(\d+) (e\d+)$/mg;
    is(scalar(grep { !$times{"e$_"} } 1 .. $total), 0, "$job: $total events, lost 0");
    is(scalar(grep { $_ > 1 } values %times), 0, "$job: duplicated 0");
    is(scalar(keys %times), $total, "$job: none invented");
    return;
}

sub progress {
    my ($master, $job) = @_;
    return ($master->job($job)->{status} // '') =~ /^(\d+) lines/ ? $1 : 0;
}

# Until the job at $master has taken in new events.
sub wait_progress {
    my ($master, $job) = @_;
    my $seq = $master->wait_state($job => 'running')->{seq} // 0;

    return wait_for("$job to go on at $master->{instance}", sub { ($master->job($job)->{seq} // 0) > $seq + 1 });
}

# Until the events have ended, were read and are backed up; then stops the master.
sub settle {
    my ($events, $master, @jobs) = @_;
    my $total = $events->total;

    for my $job (@jobs) {
        my $state = "$master->{work_dir}/jobs/$job/state";
        wait_for("$job to have read all", sub { slurp($state) =~ /^lines (\d+)$/m && $1 >= $total });
    }
    $master->signal('INT');
    is($master->wait_exit, 0, "$master->{instance} stops");
    return $total;
}

subtest 'handed over again and again' => sub {
    my $path = spew($box->path('again'), '');
    my %jobs = (again => tally_job(again => $path));
    my @masters = ($box->start($box->config('web-1', \%jobs)));
    my $events = Events->new($path);
    my @epochs;
    my $total;

    $masters[0]->wait_state(again => 'running');
    push @masters, $box->start($box->config('web-2', \%jobs));
    for my $turn (1 .. 6) {
        my ($from, $to) = @masters[ ($turn - 1) % 2, $turn % 2 ];
        my ($rc, $out);

        wait_progress($from, 'again');
        push @epochs, $from->job('again')->{epoch};
        $to->wait_state(again => 'standby');
        ($rc, $out) = $box->run($box->graceful, 'handoff', '-c', $from->{conf}, 'again');
        is($rc, 0, "turn $turn: graceful handoff") or diag $out;
        $to->wait_state(again => 'running');
    }
    wait_progress($masters[0], 'again');
    is(join(' ', sort { $a <=> $b } @epochs), join(' ', @epochs), 'the epochs rise');
    kill 'KILL', $masters[0]->job('again')->{job_pid};
    wait_for('a new start', sub { ($masters[0]->job('again')->{restarts} // 0) > 0 });
    wait_progress($masters[0], 'again');
    $masters[1]->signal('INT');
    is($masters[1]->wait_exit, 0, 'a standby stops');
    ($total) = settle($events, $masters[0], 'again');
    account($masters[0], 'again', $total);
};

subtest 'a rolling upgrade' => sub {
    my %jobs;
    my ($old, $events, $total);
    my $path = spew($box->path('rolling'), '');

    %jobs = map { $_ => tally_job($_ => $path) } qw(first second);
    $events = Events->new($path);
    $old = $box->start($box->config('v1', \%jobs));
    for my $version (2 .. 4) {
        my $new;

        wait_progress($old, $_) for qw(first second);
        # The new one starts while the old one drains, in either order.
        $old->signal('TERM') if $version % 2;
        $new = $box->start($box->config("v$version", \%jobs));
        if ($version % 2 == 0) {
            $new->wait_state($_ => 'standby') for qw(first second);
            $old->signal('TERM');
        }
        is($old->wait_exit, 0, "v" . ($version - 1) . ' drains');
        $new->wait_state($_ => 'running') for qw(first second);
        like($new->log_text, qr/ first: started the job .*restored=clean/, 'the new one goes on from a clean state');
        $old = $new;
    }
    wait_progress($old, $_) for qw(first second);
    ($total) = settle($events, $old, qw(first second));
    account($old, $_, $total) for qw(first second);
};

# How often a master queued for a lock that another one held.
sub waits_of {
    my ($master) = @_;
    return scalar(() = $master->log_text =~ /waits for the lock/g);
}

subtest 'three masters in fair order' => sub {
    my $path = spew($box->path('fair'), '');
    my %jobs = (fair => tally_job(fair => $path));
    my $events = Events->new($path);
    my (@masters, @order, $total);

    for my $n (1 .. 3) {
        push @masters, $box->start($box->config("fair-$n", \%jobs));
        $masters[-1]->wait_state(fair => $n == 1 ? 'running' : 'standby');
        $masters[-1]->wait_log(qr/waits for the lock, held by fair-1 /) if $n > 1;
    }
    for my $turn (0 .. 4) {
        my $owner = $masters[ $turn % 3 ];
        my $waits = waits_of($owner);

        wait_progress($owner, 'fair');
        $masters[ ($turn + $_) % 3 ]->wait_state(fair => 'standby') for 1, 2;
        kill 'INT', $owner->job('fair')->{worker_pid};
        $masters[ ($turn + 1) % 3 ]->wait_state(fair => 'running');
        pass("turn $turn: the one that waits longest takes over");
        wait_for('the former owner to queue again', sub {
            return waits_of($owner) > $waits;
        });
    }
    $masters[$_]->signal('INT') for 0, 1;
    is($masters[$_]->wait_exit, 0, 'a standby stops') for 0, 1;
    ($total) = settle($events, $masters[2], 'fair');
    account($masters[2], 'fair', $total);
};

subtest 'nobody else is there' => sub {
    my $path = spew($box->path('alone'), "e1 x\ne2 x\n");
    my $master = $box->start($box->config('alone', { alone => tally_job(alone => $path) }));
    my $job = wait_for('two lines', sub { progress($master, 'alone') == 2 && $master->job('alone') });
    my $gone = end_of($job->{job_pid});

    my ($rc) = $box->run($box->graceful, 'handoff', '-c', $master->{conf}, 'alone');
    is($rc, 0, 'handoff');
    wait_for('the same master to take it again', sub {
        my $now = $master->job('alone');
        return ($now->{state} // '') eq 'running' && $now->{epoch} > $job->{epoch};
    });
    ok($gone->(), 'the job before is gone');
    $master->signal('INT');
    is($master->wait_exit, 0, 'stopped');
    account($master, 'alone', 2);
};

done_testing();
