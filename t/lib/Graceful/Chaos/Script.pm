package Graceful::Chaos::Script;

# Faults in a fixed order, each when what it needs is there: every script leads to one place where only one guard of the program
# stands between the fault and a violation. With the guard the verdict has nothing to say; without it, it always has.
#
#   my $script = Graceful::Chaos::Script->named('fence');
#   my $cluster = Graceful::Chaos::Cluster->new(%{ $script->{cluster} }, …);
#   $script->{play}->($cluster, $faults);
#
# In all of them m1 runs the job j1, and m2 waits for it.

use strict;
use warnings;

use Time::HiRes qw(clock_gettime);

use Graceful::Chaos::Cluster;
use Graceful::Test qw(slurp spew wait_for);

my %small = (n_nodes => 1, n_machines => 2, n_jobs => 1, proxied => 'm1');

my %scripts = (
    'fence' => { play => \&late_commit, cluster => {%small} },
    'last process' => { play => \&long_dump, cluster => { %small, held => 1 } },
    'rescue' => { play => \&dead_worker, cluster => { %small, checkpoint => '1h' } },
);

sub names { return sort keys %scripts }
sub named { my ($class, $name) = @_; return $scripts{$name} // die "no script is called \"$name\"\n" }

# Meanwhile events go on.
sub meanwhile {
    my ($cluster, $what, $condition) = @_;
    return wait_for($what, sub { $cluster->feed; return $condition->() });
}

sub job_starts_at {
    my ($cluster, $name) = @_;
    return scalar grep { slurp($_) =~ /^\S+ start \S+ \S+ \S+ \Q$name\E /m } glob($cluster->box->path('journals/j1.*'));
}

sub begin {
    my ($cluster) = @_;

    $cluster->start_master('m1');
    meanwhile($cluster, 'm1 runs the job', sub { job_starts_at($cluster, 'm1') && $cluster->job_pid_of('m1', 'j1') });
    $cluster->start_master('m2')->wait_log(qr/j1: waits for the lock/);
    return;
}

sub lock_of_m1 {
    my ($cluster) = @_;
    return grep { m{/j1/lock/} && $cluster->etcd->value($_) =~ /"m1"/ } $cluster->etcd->keys_below_locks;
}

# A commit is on its way when its machine stops. It arrives when the lease has ended, and another one has committed.
sub late_commit {
    my ($cluster, $faults) = @_;
    my $proxy = $cluster->proxy;

    begin($cluster);
    meanwhile($cluster, 'm1 has committed', sub { $cluster->master('m1')->job('j1')->{seq} });
    meanwhile($cluster, 'm1 has stopped with a commit on its way', sub { stop_with_commit($cluster, $faults) });
    my $before = $proxy->last_answered('/v3/kv/txn');
    my ($lock) = lock_of_m1($cluster);
    # Or it ends by itself meanwhile.
    $cluster->etcd->try_ctl('lease', 'revoke', $lock =~ m{/([^/]+)\z}) if $lock;
    meanwhile($cluster, 'm2 has committed', sub { $cluster->etcd->value('/graceful/jobs/j1/state') =~ /"m2"/ });
    $proxy->let_go;
    meanwhile($cluster, 'the late commit was answered', sub { $proxy->last_answered('/v3/kv/txn') ne $before });
    $faults->begin(fault('kill machine', 'm1'));
    $faults->end_all;
    meanwhile($cluster, 'm1 is back', sub { $cluster->worker_of('m1', 'j1') });
    return;
}

sub fault { my ($kind, $machine) = @_; return { kind => $kind, machine => $machine, node => 0, job => 'j1', for => 0 } }

# The worker may have given up that attempt before it was stopped: then once more.
sub stop_with_commit {
    my ($cluster, $faults) = @_;
    my $proxy = $cluster->proxy;

    $proxy->hold('/v3/kv/txn');
    return 0 if !$proxy->held;
    kill('STOP', $cluster->worker_of('m1', 'j1'));
    $faults->begin({ %{ fault('suspend machine', 'm1') }, for => 1e6 });
    # What the proxy had not yet read at the first question, it has at the second.
    $proxy->held;
    return 1 if $proxy->held;
    $faults->end_all;
    return 0;
}

# The job takes its time to end; its lock is to stay. That it does is known when the lease was renewed after the stop.
sub long_dump {
    my ($cluster, $faults) = @_;
    my $asked;

    begin($cluster);
    $faults->begin(fault('hand over', 'm1'));
    meanwhile($cluster, 'm2 runs the job, or m1 keeps the lock', sub {
        return 1 if job_starts_at($cluster, 'm2');
        return 0 if ($cluster->master('m1')->job('j1')->{state} // '') ne 'dumping';
        $asked //= 1000 * $cluster->now;
        return ($cluster->proxy->last_answered('/v3/lease/keepalive') // 0) > $asked && lock_of_m1($cluster);
    });
    spew($cluster->go, '');
    meanwhile($cluster, 'm2 runs the job', sub { job_starts_at($cluster, 'm2') });
    $faults->end_all;
    return;
}

# What the job dumps at the death of its worker was never committed before.
sub dead_worker {
    my ($cluster, $faults) = @_;

    begin($cluster);
    $cluster->feed;
    wait_for('the job has counted all', sub { ($cluster->counted('j1') // -1) >= $cluster->fed });
    $faults->begin(fault('kill worker', 'm1'));
    meanwhile($cluster, 'm2 runs the job', sub { job_starts_at($cluster, 'm2') });
    $faults->end_all;
    return;
}

1;
