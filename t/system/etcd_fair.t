#!/usr/bin/perl
# Masters and `etcdctl lock` in one queue: each excludes the other, and all get their turn in the order in which they came.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Etcd;
use Graceful::Team;
use Graceful::Test qw(slurp wait_for);

plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

my $etcd = Graceful::Etcd->start;
my $team = Graceful::Team->new($etcd, ['orders'], ttl => '15s');
my $lock = '/graceful/jobs/orders/lock';
my %locker;

sub places { return scalar $etcd->keys_below("$lock/") }

# Starts an etcdctl that asks for the lock, and waits until it has a place in the queue.
sub start_locker {
    my ($name) = @_;
    my $before = places();
    my $out = $team->box->path("$name.out");
    my $pid = fork() // die "cannot fork: $!\n";

    if ($pid == 0) {
        $ENV{ETCDCTL_API} = 3;
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>', $out);
        exec('etcdctl', '--endpoints', $etcd->url(0), 'lock', '--ttl', '60', $lock) or POSIX::_exit(127);
    }
    $locker{$name} = { pid => $pid, out => $out };
    wait_for("$name is in the queue", sub { places() > $before });
    return;
}

# It prints its key when it has the lock.
sub has_lock { return slurp($locker{ $_[0] }{out}) =~ m{^\Q$lock\E/[0-9a-f]+$}m }

sub end_locker {
    my ($name) = @_;
    my $pid = delete $locker{$name}{pid};

    kill('INT', $pid);
    waitpid($pid, 0);
    return;
}

END {
    local $?;
    kill('KILL', $_) for grep { defined } map { $_->{pid} } values %locker;
}

sub nothing_runs { return is(scalar keys %{ $team->running }, 0, 'no job runs') }

start_locker('one');
wait_for('it has the lock', sub { has_lock('one') });
my $first = $team->start('first');
$team->wait_standby($first);
$first->wait_log(qr{waits for the lock, held by key \Q$lock\E/[0-9a-f]+, which is no worker's}, 'who has it is told');
wait_for('a place', sub { places() == 2 });
start_locker('two');
my $second = $team->start('second');
$team->wait_standby($second);
wait_for('a place', sub { places() == 4 });
start_locker('three');
nothing_runs();
ok(!has_lock('two') && !has_lock('three'), 'one etcdctl has the lock, four wait behind it');

end_locker('one');
$team->wait_running($first);
ok(!has_lock('two') && !has_lock('three'), 'a master waited behind the first etcdctl');

is($team->stop($first), 0, 'which hands over');
wait_for('the lock is handed to etcdctl', sub { has_lock('two') });
nothing_runs();

end_locker('two');
$team->wait_running($second);
ok(!has_lock('three'), 'then to the other master');

# One that waits may go, in the middle of the queue, and nobody minds.
my $third = $team->start('third');
$team->wait_standby($third);
wait_for('a place', sub { places() == 3 });
end_locker('three');
wait_for('its place is gone', sub { places() == 2 });
is($team->stop($second), 0, 'which hands over');
$team->wait_running($third);

# An etcdctl that was interrupted in the queue deletes its key and leaves its lease to itself.
$team->finish(leases => 1);
done_testing;
