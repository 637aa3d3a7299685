#!/usr/bin/perl
# An etcd of three nodes that loses two of them. Jobs with a long lease ride it out. Those with a short one are stopped before it can
# end, and run again by themselves, from what they dumped.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Etcd;
use Graceful::Team;
use Graceful::Test qw(wait_for);

plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

my $etcd = Graceful::Etcd->start(nodes => 3);
my $patient = Graceful::Team->new($etcd, [qw(clicks orders)], ttl => '45s');
my $hasty = Graceful::Team->new($etcd, [qw(views sales)], ttl => '10s');
my $calm = $patient->start('calm');
my $nervous = $hasty->start('nervous');
my %before = map { %$_ } $patient->wait_running($calm), $hasty->wait_running($nervous);
my $other = $hasty->start('other');
$hasty->wait_standby($other);
my %place = map { $_ => ($etcd->keys_below("/graceful/jobs/$_/lock/"))[1] } qw(views sales);

my ($leader) = $etcd->leader;
my ($left) = grep { $_ != $leader } $etcd->nodes;
$etcd->kill_node($_) for grep { $_ != $left } $etcd->nodes;

for my $job (qw(views sales)) {
    $nervous->wait_log(qr/$job: the lock is lost, the job must be gone in \d{2,}ms/, "$job is stopped in time");
    $nervous->wait_log(qr/$job: state DUMPING -> DOUBTING/);
}
$calm->wait_log(qr/$_: the lease could not be renewed, trying on/) for qw(clicks orders);
wait_for('nothing to run with the short leases, which are lost', sub { !keys %{ $hasty->running } });
is_deeply({ map { $_ => $patient->running->{$_}{job_pid} } qw(clicks orders) }, { map { $_ => $before{$_}{job_pid} } qw(clicks orders) },
    'the long ones are not');
$etcd->run_node($_) for grep { $_ != $left } $etcd->nodes;
$calm->wait_log(qr/$_: the lease is renewed again/) for qw(clicks orders);
$_->wait_running for $patient, $hasty;
is(($etcd->keys_below("/graceful/jobs/$_/lock/"))[0], $place{$_}, "who waited for $_ has kept its place, and now owns it") for keys %place;
for my $job (keys %place) {
    is($hasty->running->{$job}{master}, $other, "and runs $job");
    $nervous->wait_log(qr/$job: committed the state and released the lock/, 'from what was dumped without a quorum');
    is(($hasty->runs($job)->starts)[1]{restored}, 'clean', 'so nothing was done twice');
}
$_->wait_commits for $patient, $hasty;
is($patient->running->{$_}{job_pid}, $before{$_}{job_pid}, "$_ has never stopped") for qw(clicks orders);
unlike($calm->log_text, qr/the lock is lost/, 'no lock was lost') or diag($calm->log_text);

$patient->finish(leases => 1);
$hasty->finish(leases => 1);
done_testing;
