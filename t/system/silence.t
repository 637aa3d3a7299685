#!/usr/bin/perl
# A worker that gives no sign of life any more, with the local coordinator, whose locks do not end by themselves: it is ended and
# rescued, also one that only queues; not so when the whole machine had stopped.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Test qw(end_of wait_for);

my $silent = qr/the worker hangs, it gives no sign of life/;

# A box, the journal of its job, and the configuration of an instance.
sub open_box {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $conf = sub {
        my %coordinator = (type => 'local', path => $box->path('local'), ttl => '4s');
        return $box->config($_[0], { orders => { command => $actor->command('early'), checkpoint => '1h' } },
            { coordinator => \%coordinator });
    };

    return ($box, $actor, $conf);
}

sub worker_of { return $_[0]->job('orders')->{worker_pid} }

subtest 'an owner' => sub {
    my ($box, $actor, $conf) = open_box();
    my $master = $box->start($conf->('web-1'));

    $master->wait_ready('orders');
    my $worker_gone = end_of(my $worker = worker_of($master));
    kill('STOP', $worker);
    my $next = $actor->wait_start(2);
    is("$next->{restored} $next->{count}", 'clean 1', 'the job dumped, and goes on from that');
    ok($worker_gone->(), 'the worker was ended');
    like($master->log_text, $silent, 'that is told');
    $master->wait_ready('orders');
    $master->signal('INT');
    is($master->wait_exit, 0, 'and it stops in order');
    is_deeply([ $actor->survivors ], [], 'nothing of the job is left');
};

# It has no memory for a report, and does not use up the processor because of that.
subtest 'one that cannot report' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
    my ($box, $actor, $conf) = open_box();
    my $master = $box->start($conf->('web-1'), sub { $ENV{GRACEFUL_FAULT} = 'worker.no_report=fail::*' });

    $master->wait_log(qr/took the lock/);
    $master->signal('QUIT');
    $master->wait_exit;
    cmp_ok(scalar(() = $master->log_text =~ /^fault: no_report/mg), '<', 1000, 'it tries now and then');
    is($actor->count(qr/^start/), 0, 'no job is started that the master has not heard of');
};

# It blocks the queue for those behind it.
subtest 'one that queues' => sub {
    my ($box, $actor, $conf) = open_box();
    my $owner = $box->start($conf->('web-1'));

    $owner->wait_ready('orders');
    my $second = $box->start($conf->('web-2'));
    $second->wait_state(orders => 'standby');
    kill('STOP', my $worker = worker_of($second));
    $second->wait_log($silent);
    wait_for('another one queues', sub { (worker_of($second) // $worker) != $worker });
    $owner->signal('INT');
    is($owner->wait_exit, 0, 'the owner stops');
    is($actor->wait_start(2)->{count}, 1, 'the job goes on');
    $second->signal('INT');
    is($second->wait_exit, 0, 'exit status');
};

subtest 'the whole machine sleeps' => sub {
    my ($box, $actor, $conf) = open_box();
    my $master = $box->start($conf->('web-1'));

    $master->wait_ready('orders');
    my $worker = worker_of($master);
    kill('STOP', $master->pid, $worker);
    my $awake = time + 15;    # longer than any silence that is tolerated
    wait_for('morning', sub { time > $awake });
    kill('CONT', $master->pid, $worker);
    $master->signal('USR1');
    wait_for('the state is backed up', sub { $master->job('orders')->{seq} });
    is(worker_of($master), $worker, 'it is the same worker');
    unlike($master->log_text, $silent, 'that was not taken for hung');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
    is($actor->count(qr/^start/), 1, 'nor was the job started again');
};

done_testing;
