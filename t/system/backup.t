#!/usr/bin/perl
# The state of a running job: when it is backed up, where it is put, and what is left of the one before.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use JSON::PP qw(decode_json);
use Test::More;

use Graceful::Record qw(is_inlined);
use Graceful::Test qw(wait_for slurp spew);

my $box = Graceful::Test->new;
chmod(01777, $box->dir);    # jobs of other users leave notes there

# Replaces the state of a job from outside, as the job would.
sub put_state {
    my ($master, $job, $data) = @_;
    my $path = "$master->{work_dir}/jobs/$job/state";
    my ($uid, $gid) = (stat "$master->{work_dir}/jobs/$job")[ 4, 5 ];

    spew("$path.tmp", $data);
    chown($uid, $gid, "$path.tmp");
    rename("$path.tmp", $path) or die "$path: $!";
    return;
}

# The last committed record.
sub record {
    my ($job) = @_;
    my $text = slurp($box->path("local/graceful/jobs/$job/state"));
    return $text eq '' ? {} : decode_json($text);
}

sub blobs {
    my ($job) = @_;
    my $dir = $box->path("store/graceful/jobs/$job/");
    return map { substr($_, length $dir) } glob("$dir\{*,.tmp*}");
}

sub wait_seq {
    my ($job, $seq) = @_;
    return wait_for("$job to be committed with seq $seq", sub { (record($job)->{seq} // 0) >= $seq && record($job) });
}

sub running {
    my ($master, $job) = @_;
    $master->wait_state($job => 'running');
    wait_for("$job to be up", sub { -e $box->path("$job.up") });
    return;
}

sub stop_ok {
    my ($master, $status) = @_;

    $master->signal('INT');
    return is($master->wait_exit, $status // 0, "$master->{instance} stops");
}

sub quiet_job {
    my ($name, $start, $stop) = @_;
    return $box->job($name, ($start // '') . "\ntouch \"\$dir/$name.up\"", $stop);
}

subtest 'a backup every interval, of a new state only' => sub {
    my $conf = $box->config('web-1', {
        still => { command => quiet_job('still'), checkpoint => '100ms' },
        busy => { command => quiet_job('busy'), checkpoint => '100ms' },
        slow => { command => quiet_job('slow'), checkpoint => '1h' },
    });
    my $master = $box->start($conf);

    running($master, $_) for qw(still busy slow);
    put_state($master, slow => 'never mind');
    put_state($master, still => 'first');
    is(wait_seq(still => 1)->{size}, 5, 'the first state is backed up');
    ok(!record('still')->{clean}, 'as one of a job that runs');
    for my $n (1 .. 8) {
        put_state($master, busy => "state $n");
        is(wait_seq(busy => $n)->{seq}, $n, "state $n of the busy one");
    }
    put_state($master, still => 'second');
    is(wait_seq(still => 2)->{seq}, 2, 'what did not change was not backed up meanwhile');
    is_deeply(record('slow'), {}, 'nor what changed, before its interval ended');
    wait_for('the status file to tell', sub { ($master->job('still')->{seq} // 0) == 2 });
    ok($master->job('still')->{saved} > 0, 'the status file tells when');
    stop_ok($master);
    is(slurp("$master->{work_dir}/jobs/slow/state"), 'never mind', 'the state of the slow one');
    is(record('slow')->{seq}, 1, 'is committed at the stop');
    ok(record($_)->{clean}, "$_ is clean") for qw(still busy slow);
};

subtest 'a backup when asked' => sub {
    my $conf = $box->config('web-1', {
        one => { command => quiet_job('one'), checkpoint => 'infinity' },
        two => { command => quiet_job('two'), checkpoint => 'infinity' },
        told => {
            command => quiet_job('told', 'trap "echo told | dump" USR2'),
            checkpoint => 'infinity', checkpoint_signal => 'USR2',
        },
        beat => {
            command => quiet_job('beat', 'n=0; trap "n=\$((n+1)); echo \$n | dump" USR2'),
            checkpoint => '100ms', checkpoint_signal => 'USR2',
        },
    });
    my $master = $box->start($conf);
    my ($rc, $out);

    running($master, $_) for qw(one two told beat);
    put_state($master, $_ => 'a') for qw(one two);
    ($rc, $out) = $box->run($box->graceful, 'checkpoint', '-c', $conf, 'one');
    is($rc, 0, 'graceful checkpoint JOB');
    is(wait_seq(one => 1)->{seq}, 1, 'backs that one up');
    wait_seq(beat => 3);
    pass('checkpoint_signal is sent every interval');
    is_deeply(record('two'), {}, 'the other one is left alone');
    is_deeply(record('told'), {}, 'also the one with a signal');
    put_state($master, one => 'bb');
    $master->signal('USR1');
    is(wait_seq(two => 1)->{seq}, 1, 'USR1 to the master backs up all');
    is(wait_seq(told => 1)->{size}, 5, 'with the checkpoint_signal to those that have one');
    is(wait_seq(one => 2)->{size}, 2, 'also once more');
    put_state($master, one => 'ccc');
    kill 'USR1', $master->wait_state(one => 'running')->{worker_pid};
    is(wait_seq(one => 3)->{size}, 3, 'USR1 to a worker');
    ($rc, undef, $out) = $box->run($box->graceful, 'checkpoint', '-c', $conf, 'nobody');
    isnt($rc, 0, 'a job that is not there');
    like($out, qr/nobody/, 'is named');
    ok($master->job($_)->{restarts} == 0, "no signal did harm to $_") for qw(one two told beat);
    stop_ok($master);
};

subtest 'a state that got its name by a link' => sub {
    my $conf = $box->config('web-1', {
        linked => { command => quiet_job('linked'), checkpoint => '100ms' },
        named => { command => quiet_job('named'), checkpoint => 'infinity' },
    });
    my $master = $box->start($conf);

    running($master, $_) for qw(linked named);
    for my $job (qw(linked named)) {
        my $dir = "$master->{work_dir}/jobs/$job";
        my ($uid, $gid) = (stat $dir)[ 4, 5 ];

        spew("$dir/new", 'linked');
        chown($uid, $gid, "$dir/new");
        link("$dir/new", "$dir/state") or die "$dir/state: $!";
        unlink("$dir/new");
    }
    is(wait_seq(linked => 1)->{size}, 6, 'is backed up when the interval ends');
    is(($box->run($box->graceful, 'checkpoint', '-c', $conf, 'named'))[0], 0, 'graceful checkpoint');
    is(wait_seq(named => 1)->{size}, 6, 'backs it up, too');
    stop_ok($master);
};

subtest 'small states in the record, large ones in the store' => sub {
    my $more = { state => { url => 'file://' . $box->path('store'), inline_max => '1KiB' } };
    my %jobs = map { $_ => { command => quiet_job($_), checkpoint => '100ms' } } qw(edge over empty large);
    my $conf;
    my $master;
    my $big = join '', map { pack('N', $_ * 2654435761 % 2**32) } 1 .. 2_000_000;

    $jobs{$_}{user} = 'nobody' for $> == 0 ? qw(edge large) : ();
    $conf = $box->config('web-1', \%jobs, $more);
    $master = $box->start($conf);
    running($master, $_) for sort keys %jobs;
    put_state($master, edge => 'e' x 1024);
    put_state($master, over => 'o' x 1025);
    put_state($master, empty => '');
    put_state($master, large => $big);
    is(wait_seq(edge => 1)->{size}, 1024, 'inline_max bytes');
    ok(is_inlined(record('edge')), 'are in the record');
    is_deeply([ blobs('edge') ], [], 'and not in the store');
    is(wait_seq(over => 1)->{size}, 1025, 'one byte more');
    ok(!is_inlined(record('over')), 'is not in the record');
    like(record('over')->{url}, qr{^file://}, 'which names');
    is(scalar(blobs('over')), 1, 'a blob');
    is(wait_seq(empty => 1)->{size}, 0, 'a state of no bytes is one');
    is(wait_seq(large => 1)->{size}, 8_000_000, '8 MB');
    for my $n (2 .. 5) {
        put_state($master, over => 'o' x (1025 + $n));
        wait_seq(over => $n);
    }
    wait_for('the old blobs to go', sub { blobs('over') == 1 });
    is((blobs('over'))[0], record('over')->{epoch} . '-5', 'the one that is left is the last');
    is((stat $box->path('store/graceful/jobs/over'))[2] & 077, 0, "nobody else may look into the store");
    put_state($master, over => 'small now');
    wait_seq(over => 6);
    wait_for('the last blob to go', sub { blobs('over') == 0 });
    put_state($master, over => 'p' x 5000);
    stop_ok($master);
    is(record('over')->{size}, 5000, 'the last one');
    is(scalar(blobs('over')), 1, 'is one blob');
    is(scalar(blobs('large')), 1, 'of the large one, too');

    # On another machine, which has nothing but the coordinator and the store.
    $master = $box->start($box->config('web-2', \%jobs, $more));
    $master->wait_state($_ => 'running') for sort keys %jobs;
    is(slurp("$master->{work_dir}/jobs/edge/state"), 'e' x 1024, 'the edge is restored');
    is(slurp("$master->{work_dir}/jobs/over/state"), 'p' x 5000, 'what is over it');
    ok(slurp("$master->{work_dir}/jobs/large/state") eq $big, '8 MB, each byte');
    is((stat "$master->{work_dir}/jobs/large/state")[4], (stat "$master->{work_dir}/jobs/large")[4], "owned by the job's user");
    ok(-e "$master->{work_dir}/jobs/empty/state" && -z _, 'no bytes: a file of no bytes');
    my $pid = $master->wait_state(empty => 'running')->{job_pid};
    like(slurp("/proc/$pid/environ"), qr/\0GRACEFUL_RESTORED=clean\0/, 'and GRACEFUL_RESTORED tells that it is one');
    stop_ok($master);
    is(scalar(blobs($_)), 1, "still one blob of $_") for qw(over large);
};

subtest 'state_max' => sub {
    my $conf = $box->config('web-1', { fat => { command => quiet_job('fat'), checkpoint => '100ms', state_max => '1000B' } });
    my $master = $box->start($conf);

    running($master, 'fat');
    put_state($master, fat => 'f' x 1000);
    is(wait_seq(fat => 1)->{size}, 1000, 'as large as state_max');
    put_state($master, fat => 'f' x 1001);
    $master->wait_log(qr/fat: .*cannot save the state, the last good one stays.*/);
    like($master->log_text, qr/state_max/, 'the message names state_max');
    stop_ok($master, 3);
    is(record('fat')->{size}, 1000, 'the last good one was kept');
    ok(!record('fat')->{clean}, 'as unclean');
    is($master->status->{exit}, 3, 'the status file tells it, too');
    my ($kept) = $master->log_text =~ m{the last state of the job could not be committed, and is kept as (\S+);};
    is(-s ($kept // ''), 1001, 'nor is the other one thrown away');
};

subtest 'state_max, and the job starts anew' => sub {
    my $conf = $box->config('web-1', { slim => { command => quiet_job('slim'), checkpoint => 'infinity', state_max => '1000B', restart_min => '10ms', restart_max => '50ms', max_failures => 100 } });
    my $master = $box->start($conf);
    my $rejected = "$master->{work_dir}/jobs/slim/rejected-*";

    running($master, 'slim');
    put_state($master, slim => 's' x 1000);
    $master->signal('USR1');
    wait_seq(slim => 1);
    for my $n (1 .. 5) {
        my $job = $master->wait_state(slim => 'running');
        put_state($master, slim => 's' x (1000 + $n));
        kill('KILL', $job->{job_pid});
        wait_for('another run', sub { ($master->job('slim')->{restarts} // 0) >= $n });
        $master->wait_state(slim => 'running');
        is(-s "$master->{work_dir}/jobs/slim/state", 1000, 'from the last good state');
        is((grep { -s $_ == 1000 + $n } glob($rejected)), 1, 'and what was refused is kept');
    }
    cmp_ok(scalar(() = glob($rejected)), '<=', 3, 'up to a few');
    stop_ok($master);
};

# A fork of some languages blocks every signal for a moment, and one that is handled then may end the job all the same.
subtest 'a checkpoint_signal that is blocked for the moment' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless $box->has_faults;
    my $code = 'use POSIX; my ($box, $name) = @ARGV; my $set = POSIX::SigSet->new(SIGUSR2); $SIG{INT} = sub { exit 0 };
        sub note { open(my $f, ">", "$box/$name.$_[0]") or die; return }
        sigprocmask(SIG_BLOCK, $set); note("up"); select(undef, undef, undef, 0.01) until -e "$box/unblock";
        my $state = $ENV{GRACEFUL_STATE};
        $SIG{USR2} = sub { open(my $f, ">", "$state.tmp") or die; print $f "x"; close($f); rename("$state.tmp", $state) } if $name eq "late";
        sigprocmask(SIG_UNBLOCK, $set); note("free"); select(undef, undef, undef, 0.05) while 1;';
    my $conf = $box->config('web-1', { map {
        $_ => { command => [ $^X, '-e', $code, $box->dir, $_ ], checkpoint => 'infinity', checkpoint_signal => 'USR2' }
    } qw(late never) });
    my $master = $box->start($conf, sub {
        $ENV{GRACEFUL_FAULT} = 'worker.before_second_look=block:late,worker.before_second_look=block:never';
        $ENV{GRACEFUL_FAULT_GO} = $box->path('go');
    });

    running($master, $_) for qw(late never);
    $master->signal('USR1');
    $master->wait_log(qr/^fault: before_second_look: block worker job=$_ /m) for qw(late never);
    spew($box->path('unblock'), '');
    wait_for("$_ to block it no more", sub { -e $box->path("$_.free") }) for qw(late never);
    spew($box->path('go'), '');
    is(wait_seq(late => 1)->{size}, 1, 'is sent when it is handled');
    $master->wait_log(qr/ never: no checkpoint: the job does not catch SIGUSR2, so it was not sent; let the job catch it/);
    stop_ok($master);
    is($master->status->{jobs}{never}{restarts}, 0, 'and ends nobody');
};

# WINCH would end nobody; it would just be lost.
subtest 'a checkpoint signal that the job does not catch' => sub {
    my $conf = $box->config('web-1', {
        map { lc() => { command => quiet_job(lc()), checkpoint => 'infinity', checkpoint_signal => $_ } } qw(WINCH PWR)
    });
    my $master = $box->start($conf);

    running($master, $_) for qw(winch pwr);
    $master->signal('USR1');
    $master->wait_log(qr/ $_: no checkpoint: the job does not catch SIG\U$_\E, so it was not sent;/) for qw(winch pwr);
    unlike($master->log_text, qr/would end it/, 'nothing is said of an end that some signals are not');
    is($master->job($_)->{restarts}, 0, "$_ runs on") for qw(winch pwr);
    stop_ok($master);
};

# Every user may have just so many watches: with many jobs on a machine there are too few of them.
subtest 'no inotify' => sub {
    my $unshare = "unshare --user --map-root-user sh -c";
    my $limit = 'echo 0 >/proc/sys/user/max_inotify_instances';
    plan skip_all => 'cannot make a user namespace' if system("$unshare '$limit' 2>/dev/null") != 0;
    local $ENV{GRACEFUL} = $box->script('limited', "exec $unshare '$limit; exec \"\$0\" \"\$@\"' '" . $box->graceful . "' \"\$@\"");
    my $conf = $box->config('web-1', {
        blind => { command => quiet_job('blind'), checkpoint => '100ms' },
        asked => { command => quiet_job('asked'), checkpoint => 'infinity' },
        signalled => { command => quiet_job('signalled', 'trap "echo x | dump" USR2'), checkpoint => 'infinity', checkpoint_signal => 'USR2' },
    });
    my $master = $box->start($conf);

    running($master, $_) for qw(blind asked signalled);
    like($master->log_text, qr/ blind: .*inotify.*max_user_instances/, 'the log says what to do');
    for my $n (1 .. 3) {
        put_state($master, blind => 'b' x $n);
        is(wait_seq(blind => $n)->{size}, $n, "state $n is backed up");
    }
    put_state($master, asked => 'a');
    $master->signal('USR1');
    is(wait_seq(asked => 1)->{size}, 1, 'so is what was asked for');
    is(wait_seq(signalled => 1)->{size}, 2, 'and the answer to a checkpoint_signal');
    stop_ok($master);
};

# No other way to do it works for root, too.
sub forbid_records {
    my ($job, $forbidden) = @_;
    my $path = $box->path("local/graceful/jobs/$job/state");
    my $done = $forbidden ? rename($path, "$path.good") && mkdir($path) : rmdir($path) && rename("$path.good", $path);

    die "$path: $!" if !$done;
    return;
}

subtest 'a commit that fails' => sub {
    my $conf = $box->config('web-1', { luckless => { command => quiet_job('luckless'), checkpoint => '100ms' } },
        { state => { url => 'file://' . $box->path('store'), inline_max => '0B' } });
    my $master = $box->start($conf);

    running($master, 'luckless');
    put_state($master, luckless => 'good');
    wait_seq(luckless => 1);
    my @good = blobs('luckless');
    forbid_records(luckless => 1);
    put_state($master, luckless => 'not committed');
    $master->wait_log(qr/luckless: cannot save the state, .*\n(?:.*\n)*.* luckless: cannot save/, 'two tries fail');
    wait_for('nothing of them to be left in the store', sub { "@{[blobs('luckless')]}" eq "@good" });
    forbid_records(luckless => 0);
    cmp_ok(wait_seq(luckless => 2)->{seq}, '>', 3, 'no number was used twice');
    is(record('luckless')->{size}, length 'not committed', 'the state is committed in the end');
    # No stop waits for the thread that removes it.
    wait_for('the one before to be removed', sub { (() = blobs('luckless')) == 1 });
    stop_ok($master);
    is_deeply([ map { $box->path("store/graceful/jobs/luckless/$_") } blobs('luckless') ],
        [ record('luckless')->{url} =~ m{^file://(.*)} ], 'and alone in the store');
};

# A directory that cannot be synced: every record is in place there, and may not last. Not even root gets around the missing right.
my $setpriv = 'setpriv --bounding-set=-dac_override,-dac_read_search';
my $keeps_rights = $> == 0 && system("$setpriv true 2>/dev/null") != 0;
my $as_others = $> == 0 ? $setpriv : '';

# A master whose job has committed "good", whose later states are put in doubt.
sub start_unsure {
    my ($job, %more) = @_;
    local $ENV{GRACEFUL} = $box->script('bound', "exec $as_others '" . $box->graceful . "' \"\$@\"");
    my $conf = $box->config('web-1', { $job => { command => quiet_job($job), checkpoint => 'infinity' } }, \%more);
    my $master = $box->start($conf);

    running($master, $job);
    put_state($master, $job => 'good');
    $master->signal('USR1');
    wait_seq($job => 1);
    return ($master, $conf);
}

sub let_sync {
    my ($job, $may) = @_;
    my $dir = $box->path("local/graceful/jobs/$job");

    chmod($may ? 0700 : 0300, $dir) or die "$dir: $!";
}

# The last ones may have been tried again meanwhile.
sub fail_to_save {
    my ($master, $job, @data) = @_;
    my $failures = sub { return scalar(() = $master->log_text =~ / \Q$job\E: cannot save the state, .*cannot open directory/g) };

    let_sync($job, 0);
    for my $data (@data) {
        my $before = $failures->();

        put_state($master, $job => $data);
        $master->signal('USR1');
        wait_for("failure after $before", sub { $failures->() > $before });
    }
}

subtest 'commits of unknown outcome' => sub {
    plan skip_all => 'root cannot do without its rights here' if $keeps_rights;
    my ($master, $conf) = start_unsure('unsure', state => { url => 'file://' . $box->path('store'), inline_max => '0B' });
    my @good = blobs('unsure');

    fail_to_save($master, unsure => map { "doubtful $_" } 1 .. 4);
    is(scalar(blobs('unsure')), 2, 'the one before, and one that may be the last');
    ok((grep { $_ eq $good[0] } blobs('unsure')), 'the one before is the good one');
    ok((grep { record('unsure')->{url} =~ m{/\Q$_\E$} } blobs('unsure')), 'the record names one that is there');
    my $newest = 4;
    while ($newest < 100 && record('unsure')->{sha256} eq sha256_hex('doubtful 1')) {
        $newest++;
        fail_to_save($master, unsure => "doubtful $newest");
    }
    isnt(record('unsure')->{sha256}, sha256_hex('doubtful 1'), 'what may be the last does not become old');
    let_sync('unsure', 1);
    $master->signal('USR1');
    wait_for('the last state to be committed', sub { record('unsure')->{sha256} eq sha256_hex("doubtful $newest") });
    wait_for('nothing else to be left in the store', sub { blobs('unsure') == 1 });
    like(record('unsure')->{url}, qr{/@{[blobs('unsure')]}$}, 'but for the blob of the record');
    fail_to_save($master, unsure => 'doubtful once more');
    let_sync('unsure', 1);
    put_state($master, unsure => 'at the end');
    stop_ok($master);
    is(record('unsure')->{size}, length 'at the end', 'the dump is committed all the same');
    $master = $box->start($conf);
    running($master, 'unsure');
    is(slurp("$master->{work_dir}/jobs/unsure/state"), 'at the end', 'and restored');
    wait_for('the next owner to clear up', sub { blobs('unsure') == 1 });
    stop_ok($master);
};

# In a store, and in the record.
for my $more ({ state => { url => 'file://' . $box->path('store'), inline_max => '0B' } }, {}) {
    my $where = %$more ? 'stored' : 'within';

    subtest "no mark of an older state, $where" => sub {
        plan skip_all => 'root cannot do without its rights here' if $keeps_rights;
        my ($master) = start_unsure($where, %$more);

        fail_to_save($master, $where => 'doubtful');
        unlink("$master->{work_dir}/jobs/$where/state") or die "no state: $!";
        let_sync($where, 1);
        stop_ok($master, 3);
        is(record($where)->{sha256}, sha256_hex('doubtful'), 'no older state is put over one that may be the last');
        ok(!record($where)->{clean}, 'though it is marked');
    };
}

subtest 'a small one of unknown outcome' => sub {
    plan skip_all => 'root cannot do without its rights here' if $keeps_rights;
    my ($master) = start_unsure('small');

    fail_to_save($master, small => 'doubtful 1', 'doubtful 2');
    wait_for('the newer one to be in its place', sub { record('small')->{sha256} eq sha256_hex('doubtful 2') });
    let_sync('small', 1);
    put_state($master, small => 'certain');
    $master->signal('USR1');
    wait_for('the newest to be committed', sub { record('small')->{sha256} eq sha256_hex('certain') });
    unlink("$master->{work_dir}/jobs/small/state") or die "no state: $!";
    stop_ok($master, 3);
    is(record('small')->{sha256}, sha256_hex('certain'), 'what was in doubt is not put over one that is certain');
};

# As a worker leaves it that dies, with its master, between the upload and the commit.
subtest 'what earlier tenures left' => sub {
    my $conf = $box->config('web-1', { heir => { command => quiet_job('heir') } },
        { state => { url => 'file://' . $box->path('store'), inline_max => '0B' } });
    my $store = $box->path('store/graceful/jobs/heir');
    my $master = $box->start($conf);

    running($master, 'heir');
    put_state($master, heir => 'h');
    stop_ok($master);
    my ($kept) = record('heir')->{url} =~ m{.*/(.*)};
    spew("$store/$_", 'garbage') for qw(1-999 .tmp-1-1000 notes);
    $master = $box->start($conf);
    running($master, 'heir');
    wait_for('the garbage is gone', sub { !-e "$store/1-999" && !-e "$store/.tmp-1-1000" });
    ok(-e "$store/notes", 'but not what is somebody else\'s');
    stop_ok($master);
    my ($now) = record('heir')->{url} =~ m{.*/(.*)};
    is_deeply([ sort map { s{.*/}{}r } glob("$store/*") ], [ sort $now, 'notes' ], 'one state is left');
};

subtest 'two namespaces on one store' => sub {
    for my $round (1, 2) {
        for my $ns (qw(north south)) {
            my $job = quiet_job("in-$ns", 'cp "$GRACEFUL_STATE" "$dir/found" 2>/dev/null', "echo \"state of $ns\" | dump");
            unlink(map { $box->path($_) } "in-$ns.up", 'found');
            my $master = $box->start($box->config($ns, { twin => { command => $job } }, {
                namespace => "/$ns", state => { url => 'file://' . $box->path('store'), inline_max => '0B' },
            }));
            wait_for("the job in $ns", sub { -e $box->path("in-$ns.up") });
            is(slurp($box->path('found')), $round == 1 ? '' : "state of $ns\n", "start $round in $ns finds its own state");
            stop_ok($master);
        }
    }
};

done_testing();
