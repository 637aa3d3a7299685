#!/usr/bin/perl
# A state store that never answers: a stop does not wait for it beyond its time, nor does the job's restart; the dump stays where the
# job put it, and what the store does late passes for nothing.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Etcd;
use Graceful::Test qw(end_of slurp spew wait_for);

plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;

# A box, and the configuration of a master whose states are all blobs.
sub open_box {
    my ($limits, @words) = @_;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my %job = (command => $actor->command(@words), checkpoint => '100ms', restart_min => '10ms', %{$limits});
    my %confs = map { $_ => $box->config($_, { orders => \%job },
        { state => { url => 'file://' . $box->path('store'), inline_max => '0B' } }) } qw(web-1 web-2);

    return ($box, $actor, \%confs);
}

# A master in which something hangs, from the first time until the file "go" is there.
sub start_faulty {
    my ($box, $conf, $fault) = @_;
    my $master = $box->start($conf, sub {
        $ENV{GRACEFUL_FAULT} = $fault;
        $ENV{GRACEFUL_FAULT_GO} = $box->path('go');
    });

    $master->wait_ready('orders');
    return $master;
}

# An upload.
sub start_hanging { return start_faulty(@_, 'worker.in_upload=block') }

sub blobs { return map { s{.*/}{}r } glob($_[0]->path('store/graceful/jobs/orders/*')) }

# What was there before the master whose store hangs.
sub leave_a_state {
    my ($box, $conf) = @_;
    my $master = $box->start($conf);

    $master->wait_ready('orders');
    $master->signal('INT');
    return $master->wait_exit;
}

subtest 'a final backup that hangs is given up with the stop' => sub {
    my ($box, $actor, $confs) = open_box({ stop_timeout => '8s', hurry_timeout => '4s', checkpoint => '1h' });

    is(leave_a_state($box, $confs->{'web-2'}), 0, 'the tenure before');
    my $master = start_hanging($box, $confs->{'web-1'});
    $master->signal('INT');
    is($master->wait_exit, 3, 'exit status');
    $master->wait_log(qr/the state store does not answer/);
    is(slurp($box->path('work-web-1/jobs/orders/state')), "2\n", 'the dump is kept');
    my $next = $box->start($confs->{'web-2'});
    my $start = $actor->wait_start(3);
    is("$start->{restored} $start->{count}", 'crash 1', 'the next owner starts from the last good state');
    $next->signal('INT');
    is($next->wait_exit, 0, 'and stops in order');
    my $again = $box->start($confs->{'web-1'});
    $again->wait_log(qr/could not be committed.*it is kept as/);
    my ($kept) = glob($box->path('work-web-1/jobs/orders/rejected-*'));
    is(slurp($kept), "2\n", 'and the dump that nobody took is still there');
    $again->signal('INT');
    is($again->wait_exit, 0, 'exit status');
};

subtest 'and so is the look at the dump behind it' => sub {
    my ($box, $actor, $confs) = open_box({ stop_timeout => '8s', hurry_timeout => '4s', checkpoint => '1h' });

    is(leave_a_state($box, $confs->{'web-2'}), 0, 'the tenure before');
    my $master = start_faulty($box, $confs->{'web-1'}, 'worker.in_upload=block,worker.before_note=block');
    $master->signal('INT');
    $master->wait_log(qr/committed the state and released the lock epoch=2 seq=\d+ size=2 clean=0/, 'the lock is released before it');
    $master->wait_log(qr/^fault: before_note/m);
    spew($box->path('go'), '');
    is($master->wait_exit, 3, 'exit status');
    my $again = $box->start($confs->{'web-1'});
    is($actor->wait_start(3)->{count}, 2, 'and the next owner here goes on from it');
    $again->wait_ready('orders');
    $again->signal('INT');
    is($again->wait_exit, 0, 'exit status');
};

subtest 'the job goes on from what was not committed, if nobody owned it meanwhile' => sub {
    my ($box, $actor, $confs) = open_box({ stop_timeout => '8s', hurry_timeout => '4s', checkpoint => '1h' });
    my $master = start_hanging($box, $confs->{'web-1'});

    $master->signal('INT');
    is($master->wait_exit, 3, 'exit status');
    my $again = start_faulty($box, $confs->{'web-1'}, 'worker.in_forget=block');
    $again->wait_log(qr/goes on from the state that it left/);
    my $start = $actor->wait_start(2);
    is("$start->{restored} $start->{count}", 'clean 1', 'it is what the last run dumped');
    $again->wait_log(qr/^fault: in_forget/m);
    $again->signal('INT');
    is($again->wait_exit, 0, 'and is committed in the end');
    unlike($again->log_text, qr/worker hangs/, 'a disk that hangs under the note about it is in nobody\'s way');
    ok(!-e $box->path('work-web-1/jobs/.left-orders'), 'which is removed');
    is(leave_a_state($box, $confs->{'web-2'}), 0, 'so that the next one has it');
    is($actor->wait_start(3)->{count}, 2, 'with what was added');
};

# As when the file server of work_dir does not answer: what the worker looks at while the job runs is in nobody's way.
subtest 'a look at the state that hangs' => sub {
    my ($box, $actor, $confs) = open_box({});
    my $master = start_faulty($box, $confs->{'web-1'}, 'worker.in_look=block');

    $master->wait_log(qr/^fault: in_look/m);
    kill('USR1', $master->job('orders')->{worker_pid});
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
    unlike($master->log_text, qr/worker hangs/, 'nobody hung');
    like($master->log_text, qr/committed the state and released the lock epoch=1 seq=1 size=2 clean=1/, 'the dump is committed');
};

subtest 'a new file that is being written in place is not taken for a state' => sub {
    my ($box, $actor, $confs) = open_box({});
    my $master = start_faulty($box, $confs->{'web-1'}, 'worker.before_next_look=block');

    open(my $out, '>', $box->path('work-web-1/jobs/orders/state')) or die "state: $!\n";
    syswrite($out, 'half of it');
    $master->wait_log(qr/^fault: before_next_look/m);
    syswrite($out, ', and the rest');
    close($out);
    $master->wait_log(qr/committed the state epoch=1 seq=1 size=24 /, 'it is saved when it is whole');
    spew($box->path('go'), '');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
};

subtest 'no more than a few uploads hang at a time' => sub {
    my $box = Graceful::Test->new;
    my $command = [ $box->script(short => 'echo $$ >"$GRACEFUL_STATE.tmp" && mv "$GRACEFUL_STATE.tmp" "$GRACEFUL_STATE"') ];
    my $conf = $box->config('web-1',
        { orders => { command => $command, checkpoint => '1h', stop_timeout => '200ms', hurry_timeout => '100ms', restart_min => '10ms', restart_max => '50ms' } },
        { state => { url => 'file://' . $box->path('store'), inline_max => '0B' } });
    my $master = $box->start($conf, sub {
        $ENV{GRACEFUL_FAULT} = 'worker.in_upload=block::*';
        $ENV{GRACEFUL_FAULT_GO} = $box->path('go');
    });

    $master->wait_log(qr/does not answer: 4 uploads hang(?s:.*)does not answer: 4 uploads hang/, 'the fifth run\'s state is not even tried');
    spew($box->path('go'), '');
    $master->wait_log(qr/answered after all, too late(?s:.*)committed the state/, 'until the store answers');
    $master->signal('INT');
    # 4: a release has 5 s for its answer, which a busy machine may not give it.
    like($master->wait_exit, qr/^[034]$/, 'stopped in whatever it was at');
};

subtest 'once the lock is released nothing is asked of it' => sub {
    my ($box, $actor, $confs) = open_box({ checkpoint => '1h' });

    is(leave_a_state($box, $confs->{'web-2'}), 0, 'the tenure before');
    my $master = start_faulty($box, $confs->{'web-1'}, 'worker.in_delete=block');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
    unlike($master->log_text, qr/worker hangs/, 'nobody hung');
    is(scalar(blobs($box)), 2, 'the state before is there, too');
    my $next = $box->start($confs->{'web-2'});
    is($actor->wait_start(3)->{count}, 2, 'the next owner starts from the newer one');
    wait_for('and removes the other', sub { (() = blobs($box)) == 1 });
    $next->signal('INT');
    is($next->wait_exit, 0, 'exit status');
};

# A master whose job had a good state, and left none when it died: the restore before its restart hangs.
sub start_hung_restore {
    my ($box, $actor, $confs, $point, @more) = @_;

    is(leave_a_state($box, $confs->{'web-2'}), 0, 'the tenure before');
    my $master = start_faulty($box, $confs->{'web-1'}, join(',', "worker.$point=block::2", @more));
    my $start = $actor->wait_start(2);
    unlink($box->path('work-web-1/jobs/orders/state')) or die "state: $!\n";
    kill('KILL', $start->{pid});
    $master->wait_log(qr/^fault: $point/m);
    return $master;
}

# The last good state is what counts, here and elsewhere.
sub last_good_ok {
    my ($actor, $n, $master) = @_;
    my $start = $actor->wait_start($n);

    is("$start->{restored} $start->{count}", 'crash 1', 'the next owner starts from the last good state');
    $master->wait_ready('orders');
    unlike($master->log_text, qr/could not be committed/, 'and from nothing else');
    $master->signal('INT');
    return is($master->wait_exit, 0, 'exit status');
}

subtest 'a restore that hangs after a failure of the job is given up with the stop' => sub {
    my ($box, $actor, $confs) = open_box({ stop_timeout => 'infinity', checkpoint => '1h' });
    my $master = start_hung_restore($box, $actor, $confs, 'in_restore');

    $master->signal('INT');
    is($master->wait_exit, 3, 'exit status');
    like($master->log_text, qr/committed the state and released the lock epoch=2 seq=\d+ size=2 clean=0/,
        'the lock is released with the last good state, which is marked');
    last_good_ok($actor, 3, $box->start($confs->{'web-2'}));
};

# As when it is the disk of work_dir that does not answer.
subtest 'and the look at what is left there hangs, too' => sub {
    my ($box, $actor, $confs) = open_box({ stop_timeout => 'infinity', checkpoint => '1h' });
    my $master = start_hung_restore($box, $actor, $confs, 'in_restore', 'worker.before_note=block');

    $master->signal('INT');
    $master->wait_log(qr/committed the state and released the lock epoch=2 seq=\d+ size=2 clean=0/, 'the lock is released before it');
    $master->wait_log(qr/^fault: before_note/m);
    spew($box->path('go'), '');
    is($master->wait_exit, 3, 'exit status');
    last_good_ok($actor, 3, $box->start($confs->{'web-2'}));
};

subtest 'and may come back while its worker leaves' => sub {
    my ($box, $actor, $confs) = open_box({ stop_timeout => 'infinity', checkpoint => '1h' });
    my $master = start_hung_restore($box, $actor, $confs, 'in_copy', 'worker.after_release_before_ack=block');

    $master->signal('INT');
    $master->wait_log(qr/^fault: after_release_before_ack/m);
    spew($box->path('go'), '');
    is($master->wait_exit, 3, 'exit status');
    last_good_ok($actor, 3, $box->start($confs->{'web-1'}));
};

subtest 'a worker that hangs after its last report does not keep the others' => sub {
    my ($box, $actor, $confs) = open_box({ stop_timeout => 'infinity', checkpoint => '1h' });
    my $master = start_faulty($box, $confs->{'web-1'}, 'worker.after_ack=block');

    kill('INT', $master->job('orders')->{worker_pid});
    is($actor->wait_start(2)->{count}, 1, 'the job is handed over to the next worker');
    like($master->log_text, qr/the worker hangs after its last report: killing it/, 'that is told');
    $master->wait_ready('orders');
    $master->signal('INT');
    is($master->wait_exit, 0, 'nothing is lost');
};

subtest 'QUIT does not wait for it' => sub {
    my ($box, $actor, $confs) = open_box({ stop_timeout => 'infinity', checkpoint => '1h' });
    my $master = start_hanging($box, $confs->{'web-1'});

    $master->signal('INT');
    $master->wait_log(qr/^fault: in_upload/m);
    $master->signal('QUIT');
    is($master->wait_exit, 3, 'exit status');
    is(slurp($box->path('work-web-1/jobs/orders/state')), "1\n", 'the dump is kept');
    is_deeply([ $actor->survivors ], [], 'nothing of the job is left');
};

# What is out of a worker's hands: its disk does not answer.
subtest 'QUIT does not wait for a worker that hangs itself' => sub {
    my ($box, $actor, $confs) = open_box({ stop_timeout => 'infinity' });
    my $master = start_faulty($box, $confs->{'web-1'}, 'worker.before_dump_backup=block');

    $master->signal('INT');
    $master->wait_log(qr/^fault: before_dump_backup/m);
    $master->signal('QUIT');
    is($master->wait_exit, 0, 'a rescue worker commits what the job had dumped');
    like($master->log_text, qr/the worker hangs, and was told to quit/, 'that is told');
    $master = $box->start($confs->{'web-2'});
    is($actor->wait_start(2)->{count}, 1, 'the next owner has it');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
};

subtest 'a backup that hangs does not keep the job from its restart' => sub {
    my ($box, $actor, $confs) = open_box({ stop_timeout => '8s', hurry_timeout => '4s' }, 'early');
    my $master = start_hanging($box, $confs->{'web-1'});

    $master->wait_log(qr/^fault: in_upload/m);
    kill('KILL', $actor->wait_start->{pid});
    $actor->wait_start(2);
    wait_for('the next backup', sub { $master->job('orders')->{seq} });
    spew($box->path('go'), '');
    $master->wait_log(qr/answered after all, too late/);
    wait_for('its blob is gone', sub { (() = blobs($box)) == 1 });
    my $record = slurp($box->path('local/graceful/jobs/orders/state'));
    my ($blob) = blobs($box);
    like($record, qr/\Q$blob\E/, 'the one that is left is the one that counts');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
};

# A worker that hangs as in a disk that does not answer, when it has told its job to stop: not even SIGKILL ends it, as the master is
# kept from sending that. Its job minds nothing else, nor does what that left behind. Returns the master, and who they are.
sub start_stuck {
    my ($box, $instance, $more) = @_;
    my $note = $box->path('behind');
    my $master = $box->start(
        $box->config($instance, { orders => { command => [ $box->script('deaf', <<"END") ], stop_timeout => 'infinity' } }, $more), sub {
trap '' INT TERM
setsid sleep 1000 &
echo \$! >'$note.new' && mv '$note.new' '$note'
while :; do sleep 1; done
END
            $ENV{GRACEFUL_FAULT} = 'worker.after_stop_signal=block,master.hangs_in_kernel=fail::*';
            $ENV{GRACEFUL_FAULT_GO} = $box->path('go');
        });
    my $job = $master->wait_state(orders => 'running');

    wait_for('the job to be up', sub { -e $note });
    return ($master, $job->{worker_pid}, $job->{job_pid}, slurp($note) + 0);
}

sub check_stuck {
    my ($master, $worker, $gone, @job_gone) = @_;

    is(scalar(grep { !$_->() } @job_gone), 0, 'nothing of its job lives');
    ok(!$gone->(), 'but it does');
    like($master->log_text, qr/orders: stopping without its worker, which hangs in the kernel pid=$worker$/m, 'and that is told');
    like($master->log_text, qr/stopped: jobs=1 .* unclean=1 left=1 .* exit=4$/m, 'with the lock that it holds');
    return;
}

subtest 'an owner that cannot be killed, in a stop that kills' => sub {
    my $box = Graceful::Test->new;
    my ($master, $worker, @job) = start_stuck($box, 'web-1');
    my @gone = map { end_of($_) } $worker, @job;

    $master->signal('INT');
    $master->wait_log(qr/^fault: after_stop_signal/m);
    $master->signal('QUIT');
    is($master->wait_exit, 4, 'the stop ends');
    like($master->log_text, qr/orders: the worker was killed and does not end.*; its lock stays until it ends;.* pid=$worker$/m, 'what it is');
    check_stuck($master, $worker, @gone);
    my $next = $box->start($box->config('web-2', { orders => { command => $box->job('next', '') } }));
    $next->wait_state(orders => 'standby');
    pass('the next owner waits');
    spew($box->path('go'), '');
    $next->wait_state(orders => 'running');
    pass('until it has ended');
    $next->signal('INT');
    is($next->wait_exit, 0, 'exit status');
};

subtest 'an owner that cannot be killed, whose lease ends' => sub {
    plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;
    my $box = Graceful::Test->new;
    my $etcd = Graceful::Etcd->start;
    my ($master, $worker, @job) = start_stuck($box, 'web-1', { coordinator => $etcd->coordinator(ttl => '10s') });
    my @gone = map { end_of($_) } $worker, @job;

    kill('INT', $worker);
    $master->wait_log(qr/orders: nothing is left of the job of the worker that hangs/);
    $master->signal('INT');
    is($master->wait_exit, 4, 'the stop ends');
    check_stuck($master, $worker, @gone);
    spew($box->path('go'), '');
    wait_for('it has ended', $gone[0]);
};

done_testing;
