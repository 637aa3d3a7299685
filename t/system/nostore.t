#!/usr/bin/perl
# The state store cannot be reached during the final dump: that is tried again until the stop must end, with the lock kept. If the
# store is back by then, nothing has happened; if not, the last good state stays, and the dump stays where the job put it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Etcd;
use Graceful::Test qw(slurp spew wait_for);

# A master whose job has "0" as its last good state, and the configuration of another one.
sub begin {
    my ($etcd, %limits) = @_;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $job = { command => $actor->command('early'), checkpoint => '100ms', restart_min => '10ms', %limits };
    my %more = (state => { url => 'file://' . $box->path('store'), inline_max => '0B' }, $etcd ? (coordinator => $etcd->coordinator(ttl => '20s')) : ());
    my ($conf, $other) = map { $box->config($_, { orders => $job }, \%more) } qw(web-1 web-2);
    my $master = $box->start($conf);

    wait_for('a backup of the job', sub { $master->job('orders')->{ready} && $master->job('orders')->{seq} });
    return ($box, $actor, $master, $other);
}

# Not even root gets through a file.
sub take_away {
    my ($box) = @_;

    rename($box->path('store'), $box->path('away')) or die "store: $!\n";
    return spew($box->path('store'), '');
}

sub give_back {
    my ($box) = @_;

    unlink($box->path('store'));
    return rename($box->path('away'), $box->path('store'));
}

sub ends_ok {
    my ($box, $actor, $told, $other) = @_;
    my $start = $actor->wait_start(2);

    is("$start->{restored} $start->{count} $start->{by}", $told, 'what the next one goes on from');
    $other->wait_ready('orders');
    $other->signal('INT');
    is($other->wait_exit, 0, 'it stops in order');
    return is($actor->count(qr/^overlap/), 0, 'no two copies ran');
}

sub back_in_time {
    my ($etcd) = @_;
    my ($box, $actor, $master, $conf) = begin($etcd, stop_timeout => '10m');
    my $other = $box->start($conf);

    $other->wait_log(qr/waits for the lock/);
    take_away($box);
    $master->signal('INT');
    $master->wait_log(qr/ orders: cannot save the state, the last good one stays .*Not a directory/);
    $etcd->wait_renewed('orders') if $etcd;
    is($actor->count(qr/^start/), 1, 'the lock is kept meanwhile');
    ok(!$master->ended, 'it is tried again');
    ok(give_back($box), 'the store is back');
    is($master->wait_exit, 0, 'the stop ends in order');
    like($master->log_text, qr/locks_released=1 unclean=0 left=0/, 'and says so');
    return ends_ok($box, $actor, 'clean 1 web-2', $other);
}

sub too_late {
    my ($etcd) = @_;
    my ($box, $actor, $master, $conf) = begin($etcd, stop_timeout => '6s', hurry_timeout => '3s');

    take_away($box);
    $master->signal('INT');
    is($master->wait_exit, 3, 'a state was not dumped cleanly');
    like($master->log_text, qr/locks_released=1 unclean=1 left=0/, 'the lock is released');
    my $kept = "$master->{work_dir}/jobs/orders/state";
    is(slurp($kept), "1\n", 'the dump is kept');
    like($master->log_text, qr/\Q$kept\E/, 'and the log says where');
    ok(give_back($box), 'the store is back');
    return ends_ok($box, $actor, 'crash 0 web-2', $box->start($conf));
}

for my $play ([ 'back in time', \&back_in_time ], [ 'too late', \&too_late ]) {
    my ($name, $sub) = @{$play};

    subtest "local, $name" => sub { $sub->() };
    subtest "etcd, $name" => sub {
        plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;
        $sub->(Graceful::Etcd->start);
    };
}

done_testing;
