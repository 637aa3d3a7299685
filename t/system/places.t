#!/usr/bin/perl
# The directories that keep locks, records and states, when what they are on is not mounted: nothing is made in their place, neither
# at a start nor while a master runs, and all goes on when they are back.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Test qw(end_of slurp spew wait_for);

my $gone = qr/is not the directory that was used before, .*: mount what it is on, or bring it back/;

# A box whose coordinator and store are under "mnt"; its job, and the configuration of an instance.
sub open_box {
    my ($inline_max, @words) = @_;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $conf = sub {
        return $box->config($_[0], { orders => { command => $actor->command(@words), restart_min => '10ms', restart_max => '100ms' } }, {
            coordinator => { type => 'local', path => $box->path('mnt/local') },
            state => { url => 'file://' . $box->path('store'), inline_max => $inline_max // '256KiB' },
        });
    };

    return ($box, $actor, $conf);
}

sub stop_ok {
    my ($master, $status) = @_;

    $master->signal('INT');
    return is($master->wait_exit, $status, "$master->{instance} stops with $status");
}

sub move { my ($from, $to) = @_; rename($from, $to) or die "rename $from: $!\n"; return }

for my $how ('nothing is there', 'the mount point is there') {
    subtest "at a start: $how" => sub {
        my ($box, $actor, $conf) = open_box();
        my $path = $conf->('web-1');

        stop_ok($box->start($path)->wait_ready('orders'), 0);
        move($box->path('mnt'), $box->path('disk'));
        if ($how ne 'nothing is there') { mkdir($box->path($_)) or die "mkdir: $!\n" for qw(mnt mnt/local) }
        my ($status, undef, $err) = $box->run($box->graceful, 'check', '-c', $path);
        is($status, 78, 'graceful check');
        like($err, qr/coordinator.path: .*$gone/, 'says so');
        my $master = $box->start($path);
        $master->wait_log(qr/orders: "coordinator.path": .*$gone.*; trying again soon/);
        is_deeply([ glob($box->path('mnt/local') . '/*') ], [], 'nothing is made');
        my $job = wait_for('a status', sub { my $job = $master->job('orders'); ($job->{state} // '') eq 'backoff' && $job->{failure} ? $job : undef });
        like($job->{failure}, qr/^"coordinator.path": /, 'the status says why it waits');
        cmp_ok($job->{since}, '>=', $^T, 'and since when');
        if ($how ne 'nothing is there') { rmdir($box->path($_)) or die "rmdir: $!\n" for qw(mnt/local mnt) }
        move($box->path('disk'), $box->path('mnt'));
        my $start = $actor->wait_start(2);
        is("$start->{restored} $start->{count}", 'clean 1', 'the job goes on when it is mounted');
        $master->wait_ready('orders');
        stop_ok($master, 0);
    };
}

# It has not saved anything yet: nobody could tell by the record.
subtest 'the coordinator goes while a master runs' => sub {
    my ($box, $actor, $conf) = open_box();
    my $master = $box->start($conf->('web-1'))->wait_ready('orders');
    my $job_gone = end_of($actor->wait_start->{pid});

    move($box->path('mnt'), $box->path('disk'));
    $master->wait_log(qr/orders: "coordinator.path": .*$gone.*; trying again soon/);
    ok($job_gone->(), 'the job was ended');
    ok(!-e $box->path('mnt'), 'nothing is made');
    move($box->path('disk'), $box->path('mnt'));
    $actor->wait_start(2);
    $master->wait_ready('orders');
    stop_ok($master, 0);
};

subtest 'a store with states in it' => sub {
    my ($box, $actor, $conf) = open_box('0B');
    my $path = $conf->('web-1');

    stop_ok($box->start($path)->wait_ready('orders'), 0);
    move($box->path('store'), $box->path('disk'));
    my $master = $box->start($path);
    $master->wait_log(qr/orders.*cannot restore the state of epoch 1 to .*\/work-web-1\/jobs\/orders\/state: .*mount what it is on/);
    ok(!-e $box->path('store'), 'nothing is made');
    move($box->path('disk'), $box->path('store'));
    is($actor->wait_start(2)->{count}, 1, 'the job goes on when it is mounted');
    $master->wait_ready('orders');
    stop_ok($master, 0);
};

subtest 'a store that small states do not need' => sub {
    my ($box, $actor, $conf) = open_box();
    my $path = $conf->('web-1');

    stop_ok($box->start($path)->wait_ready('orders'), 0);
    move($box->path('store'), $box->path('disk'));
    my $master = $box->start($path)->wait_ready('orders');
    like($master->log_text, qr/"state.url": .*$gone/, 'it is told');
    stop_ok($master, 0);
    ok(!-e $box->path('store'), 'nothing is made');
    is($actor->count(qr/^dumped 2$/), 1, 'the job ran');
};

# It was never there, and cannot be made as yet: not even root makes a directory below a file.
subtest 'a store that cannot be made' => sub {
    my ($box, $actor, $conf) = open_box('0B', 'early');

    spew($box->path('store'), '');
    my $path = $conf->('web-1');
    my $master = $box->start($path)->wait_ready('orders');
    $master->wait_log(qr/orders: "state.url": .*store/);
    $master->signal('USR1');
    $master->wait_log(qr/orders: cannot save the state, .*store/);
    unlink($box->path('store')) or die "unlink: $!\n";
    stop_ok($master, 0);
    ok(-e $box->path('store/.graceful'), 'it is made as soon as that can be');
    is($actor->count(qr/^start/), 1, 'and no worker died of it');
    is(scalar(() = $master->log_text =~ /"state.url": /g), 1, 'which was told once');
};

subtest 'a store that hangs' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
    my ($box, $actor, $conf) = open_box();
    my $master = $box->start($conf->('web-1'), sub {
        $ENV{GRACEFUL_FAULT} = 'worker.in_prepare=block';
        $ENV{GRACEFUL_FAULT_GO} = $box->path('never');
    });

    $master->wait_log(qr/^fault: in_prepare: block/m);
    $master->wait_ready('orders');
    pass('small states do not wait for it');
    stop_ok($master, 0);
};

subtest 'to begin anew' => sub {
    my ($box, $actor, $conf) = open_box();
    my $path = $conf->('web-1');

    stop_ok($box->start($path)->wait_ready('orders'), 0);
    move($box->path('mnt'), $box->path('disk'));
    unlink($box->path('work-web-1/places.json')) or die "no memory: $!\n";
    unlink($box->path('work-web-1/jobs/orders/state'));
    my $master = $box->start($path)->wait_ready('orders');
    is($actor->wait_start(2)->{restored}, 'none', 'the operator says so');
    stop_ok($master, 0);
};

done_testing;
