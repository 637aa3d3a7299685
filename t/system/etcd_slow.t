#!/usr/bin/perl
# All nodes of etcd are slow, as on disks that take their time to sync: what is committed, renewed and handed over takes longer, and
# nothing else happens.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Etcd;
use Graceful::Test qw(wait_for);

plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

my $box = Graceful::Test->new;
my $actor = Graceful::Actor->new($box, 'orders');
my $etcd = Graceful::Etcd->start(nodes => 3);

sub start {
    my ($name) = @_;
    my %orders = (command => $actor->command, checkpoint => '100ms', stop_timeout => '5m');

    return $box->start($box->config($name, { orders => \%orders }, { coordinator => $etcd->coordinator(ttl => '20s') }));
}

sub is_saved {
    my ($master) = @_;
    my $seq = $master->job('orders')->{seq} // 0;

    kill('USR1', $actor->wait_start->{pid});
    return wait_for('a commit', sub { ($master->job('orders')->{seq} // 0) > $seq });
}

my $one = start('web-1');
$one->wait_ready('orders');
my $two = start('web-2');
$two->wait_log(qr/waits for the lock/);

$etcd->stutter($_) for $etcd->nodes;
is_saved($one) for 1 .. 5;
pass('commits go on');
kill('INT', $one->job('orders')->{worker_pid});
my $start = $actor->wait_start(2);
is("$start->{restored} $start->{count} $start->{by}", 'clean 1 web-2', 'a hand-over goes its way');
$two->wait_ready('orders');
$two->signal('INT');
is($two->wait_exit, 0, 'so does a stop');
$start = $actor->wait_start(3);
is("$start->{restored} $start->{count} $start->{by}", 'clean 2 web-1', 'whose state the first one goes on from');
$one->wait_ready('orders');
$etcd->steady($_) for $etcd->nodes;
$one->signal('INT');
is($one->wait_exit, 0, 'and a stop at the end');
unlike($_->log_text, qr/lock is lost/, "$_->{instance} never lost the lock") for $one, $two;
is($actor->count(qr/^overlap/), 0, 'no two copies ran');

done_testing;
