#!/usr/bin/perl
# Jobs that end by themselves: on_exit, the backoff, and who runs a job that one machine cannot run.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;

use Graceful::Test qw(wait_for slurp spew);

my $box = Graceful::Test->new;

# A job that notes each start as "JOB INSTANCE RESTORED EPOCH" and then does $then.
sub noting {
    my ($name, $then) = @_;
    return [ $box->script($name, <<"END") ];
dir='@{[ $box->dir ]}'
dump() { cat >"\$GRACEFUL_STATE.tmp" && mv "\$GRACEFUL_STATE.tmp" "\$GRACEFUL_STATE"; }
echo "\$GRACEFUL_INSTANCE \$GRACEFUL_RESTORED \$GRACEFUL_EPOCH" >>"\$dir/$name.starts"
$then
END
}

sub starts {
    my ($name) = @_;
    return map { [ split ' ' ] } split(/\n/, slurp($box->path("$name.starts")));
}

sub wait_starts {
    my ($name, $n) = @_;
    return wait_for("start $n of $name", sub { starts($name) >= $n });
}

sub stop_ok {
    my ($master, $status) = @_;

    $master->signal('INT');
    return is($master->wait_exit, $status // 0, "$master->{instance} stops");
}

sub record {
    my ($job) = @_;
    my $text = slurp($box->path("local/graceful/jobs/$job/state"));
    return $text eq '' ? {} : decode_json($text);
}

# What `graceful status` says of a job, when it is $pattern.
sub wait_told {
    my ($master, $job, $pattern) = @_;

    return wait_for("status to tell of $job: $pattern", sub {
        my ($rc, $out) = $box->run($box->graceful, 'status', '-c', $master->{conf});
        return $out =~ /^$job .*$pattern/m;
    });
}

my $forever = 'trap "exit 0" INT; exec 9<> <(:); while :; do read -r -t 0.1 -u 9; done';

subtest 'the backoff' => sub {
    my $conf = $box->config('web-1', {
        fails => { command => noting(fails => 'exit 7'), restart_min => '10ms', restart_max => '50ms', max_failures => 99 },
        ends => { command => noting(ends => 'echo e | dump'), restart_min => '10ms', restart_max => '50ms', max_failures => 2 },
        rests => { command => noting(rests => 'exit 1'), restart_min => '1h', max_failures => 1000 },
        naps => { command => noting(naps => 'exit 0'), restart_min => '1h' },
    });
    my $master = $box->start($conf);
    my $job;

    # It is one already while what is left of the job is ended, and its state saved.
    wait_for('the restart to come to be counted', sub { ($master->job('rests')->{restarts} // 0) == 1 });
    $job = $master->wait_state(rests => 'backoff');
    ok(!exists $job->{job_pid}, 'no job runs in a backoff');
    ok($job->{epoch} > 0, 'the lock is held');
    is($job->{restarts}, 1, 'the restart to come is counted');
    # An hour, a quarter more or less.
    wait_told($master, rests => qr/  the job exited with status 1; started again in (?:1h|[4-7]\dm)/);
    wait_told($master, naps => qr/  the job exited with status 0; started again in (?:1h|[4-7]\dm)/);
    $job = $master->job('naps');
    ok($job->{finished}, 'a job that ended well is told from one that failed');
    ok($job->{retry} > time() + 1800, 'and when each is started again');
    wait_starts(fails => 8);
    wait_starts(ends => 8);
    like($master->log_text, qr/ fails: the job exited with status 7 /, 'the log tells how it ended');
    is(scalar(grep { $_->[2] != (starts('fails'))[0][2] } starts('fails')), 0, 'the owner stays the same one');
    my @delays = $master->log_text =~ / fails: the job is started again in (\d+)ms/g;
    is(scalar(grep { $_ > 63 } @delays), 0, 'no pause is longer than restart_max and a quarter');
    is((starts('ends'))[0][1], 'none', 'on_exit "restart": the first start');
    is((starts('ends'))[1][1], 'clean', 'and the next with the state that it left');
    # The stop may find these two at any point of their short lives.
    $master->signal('INT');
    like($master->wait_exit, qr/^[03]$/, 'stopped');
    is((starts('rests'))[1], undef, 'a stop ends the backoff without a start');
};

subtest 'a state that somebody removes while the job does not run' => sub {
    my %limits = (restart_min => '5s', restart_max => '5s', max_failures => 99);    # a busy machine takes its time
    my @then = (qq([ -e "\$GRACEFUL_STATE" ] && { $forever; }\necho left | dump; exit 7));
    my %jobs = map { ($_ => { command => noting($_ => @then), %limits }) } qw(swept wiped);
    my $master = $box->start($box->config('web-1', \%jobs));
    my $jobs = $box->path('work-web-1/jobs');

    # Of the second one its directory, too. Each as soon as it is committed, or it would run again.
    my %take = (swept => sub { unlink("$jobs/swept/state") }, wiped => sub { rename("$jobs/wiped", "$jobs/.away") });

    wait_for('the states to be committed', sub {
        for my $job (keys %take) { delete $take{$job} if record($job)->{seq} && $take{$job}->() }
        return !%take;
    });
    for my $job (qw(swept wiped)) {
        wait_starts($job => 2);
        is((starts($job))[1][1], 'crash', "$job starts from the record, not from nothing");
    }
    stop_ok($master);
    is(record($_)->{size}, 5, "nothing was put over that of $_") for qw(swept wiped);
};

subtest 'a failing job is tried elsewhere, and comes back after a while' => sub {
    # It can run on web-2 only, until that one goes.
    my %jobs = (moves => {
        command => noting(moves => qq([ -e "\$dir/fit.\$GRACEFUL_INSTANCE" ] || { echo left | dump; exit 1; }\n$forever)),
        restart_min => '10ms', restart_max => '500ms', max_failures => 3,
    });
    my $one = $box->start($box->config('web-1', \%jobs));
    my ($two, %seen);

    wait_starts(moves => 1);
    spew($box->path('fit.web-2'), '');
    $two = $box->start($box->config('web-2', \%jobs));
    $two->wait_state(moves => 'running');
    wait_for('its start', sub { grep { $_->[0] eq 'web-2' } starts('moves') });
    $seen{ $_->[0] }++ for starts('moves');
    is($seen{'web-1'} % 3, 0, 'web-1 tried three times and gave up') or diag explain [ starts('moves') ];
    is($seen{'web-2'}, 1, 'web-2 took over at once');
    is((starts('moves'))[-1][1], 'crash', 'with the state that web-1 left');
    cmp_ok($two->job('moves')->{epoch}, '>', (starts('moves'))[0][2], 'and a larger epoch');
    $one->wait_state(moves => 'standby');
    pass('web-1 queues again when it has cooled down');
    spew($box->path('fit.web-1'), '');
    stop_ok($two);
    $one->wait_state(moves => 'running');
    wait_for('the last start to be of web-1', sub { (starts('moves'))[-1][0] eq 'web-1' });
    pass('and takes the job back');
    stop_ok($one);
};

subtest 'a command that cannot be run any more counts as a failure' => sub {
    my %jobs = (gone => { command => noting(gone => 'rm "$0"; exit 1'), restart_min => '10ms', restart_max => '10s', max_failures => 3 });
    my $master = $box->start($box->config('web-1', \%jobs));

    $master->wait_log(qr/ gone: cannot start .*No such file(?s:.*)cannot start .*No such file/, 'why it does not start, twice');
    wait_for('it to give up', sub { my $job = $master->job('gone'); ($job->{state} // '') eq 'backoff' && !exists $job->{epoch} });
    pass('then the lock is released');
    wait_told($master, gone => qr/  gave up, as it failed 3 times within .*; queued for its lock again in \d/);
    is(scalar(starts('gone')), 1, 'it ran once');
    stop_ok($master);
    like($master->log_text, qr/stopped: jobs=1 dumped_bytes=0 locks_released=0 unclean=0 .*exit=0$/m, 'what ended before is no part of the stop');
};

subtest 'on_exit "release"' => sub {
    # One piece of work a run, and the lock given up in between; six pieces are enough.
    my %jobs = (shift => {
        command => noting(shift => <<"END"), on_exit => 'release',
n=0
[ -e "\$GRACEFUL_STATE" ] && read -r n <"\$GRACEFUL_STATE"
if [ "\$n" -ge 6 ]; then trap 'exit 0' INT; touch "\$dir/enough"; $forever; fi
echo \$((n + 1)) | dump
END
    });
    my $one = $box->start($box->config('web-1', \%jobs));
    my $two = $box->start($box->config('web-2', \%jobs));
    my (%seen, @starts);

    wait_for('six pieces of work', sub { -e $box->path('enough') });
    # The waiter first: else the last run may be handed over to it, and begin once more.
    stop_ok($_) for (starts('shift'))[-1][0] eq 'web-1' ? ($two, $one) : ($one, $two);
    @starts = starts('shift');
    $seen{ $_->[0] }++ for @starts;
    ok($seen{'web-1'} && $seen{'web-2'}, 'both had their turns');
    is(scalar(grep { $_->[1] ne 'clean' } @starts[ 1 .. $#starts ]), 0, 'always with a clean state');
    is(scalar(grep { $starts[$_][2] <= $starts[ $_ - 1 ][2] } 1 .. $#starts), 0, 'each with a larger epoch');
    is(scalar @starts, 7, 'and no piece of work was lost or done twice');
};

# Nothing to do, again and again: the pauses grow.
subtest 'when a job that let go of its lock is tried again' => sub {
    my $master = $box->start($box->config('web-1', { idle => { command => noting(idle => 'exit 0'), on_exit => 'release' } }));

    wait_told($master, idle => qr/  the job exited with status 0; queued for its lock again in [1-9]/);
    pass('status tells');
    like($master->log_text, qr/ idle: the lock is queued for again in \d+ms/, 'and the log');
    $master->put_down;
};

subtest 'a job that is killed as its lock is lost' => sub {
    my $master = $box->start($box->config('web-1', { robbed => { command => noting(robbed => "echo \$\$ | dump; $forever") } }));

    $master->wait_state(robbed => 'running');
    wait_for('its state to be saved', sub { record('robbed')->{size} });
    unlink($box->path('local/graceful/jobs/robbed/lock')) or die "no lock file: $!\n";
    $master->wait_log(qr/ robbed: the job was ended by SIGKILL, as its lock was lost /);
    pass('the log says why');
    $master->put_down;
};

subtest 'on_exit "done"' => sub {
    my %jobs = (
        once => { command => noting(once => 'until [ -e "$dir/finish" ]; do sleep 0.01; done; echo result | dump'), on_exit => 'done' },
        bare => { command => noting(bare => 'until [ -e "$dir/finish" ]; do sleep 0.01; done'), on_exit => 'done' },
        other => { command => noting(other => $forever) },
    );
    my $one = $box->start($box->config('web-1', \%jobs));
    my ($two, $job, $out, $rc);

    wait_starts($_ => 1) for sort keys %jobs;
    $two = $box->start($box->config('web-2', \%jobs));
    $two->wait_state($_ => 'standby') for sort keys %jobs;
    spew($box->path('finish'), '');
    for my $name (qw(once bare)) {
        $one->wait_state($name => 'done');
        $two->wait_state($name => 'done');
        pass("$name is done, and both masters know");
    }
    $job = $one->job('once');
    is_deeply([ grep { exists $job->{$_} } qw(worker_pid job_pid epoch ready) ], [], 'no process, no lock');
    is($job->{size}, 7, 'the result is there');
    ok($job->{clean}, 'clean');
    ok(record('once')->{done} && record('bare')->{done}, 'the records say so');
    ($rc, $out) = $box->run($box->graceful, 'status', '-c', $one->{conf});
    like($out, qr/^once +done .* finished, and not started again \(on_exit "done"\)$/m, 'graceful status, too');
    is($one->job('other')->{state}, 'running', 'the others go on');
    stop_ok($one);
    $two->wait_state(other => 'running');
    stop_ok($two);

    $one = $box->start($box->config('web-1', \%jobs));
    $one->wait_state($_ => 'done') for qw(once bare);
    is(scalar(starts('once')), 1, 'a new master does not run it again');
    is(scalar(starts('bare')), 1, 'also if it left no state');
    stop_ok($one);

    # The operator's way to have it run again: no master, and its record away.
    unlink($box->path('local/graceful/jobs/once/state')) or die "$!";
    unlink($box->path('finish'));
    $one = $box->start($box->config('web-1', \%jobs));
    wait_starts(once => 2);
    is((starts('once'))[-1][1], 'none', 'without its record it begins from nothing');
    cmp_ok((starts('once'))[-1][2], '>', (starts('once'))[0][2], 'with a larger epoch all the same');
    is(scalar(starts('bare')), 1, 'the other one stays done');
    $one->put_down;
};

done_testing();
