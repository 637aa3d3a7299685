package Bench::Crowd;

# A crowd that does nothing: memory of each process, what it computes, and what it asks etcd.

use strict;
use warnings;

use Bench::Etcdctl;
use Bench::Figures qw(heading median ratio row);
use Bench::Jobs qw(new_box open_fifo last_stamp stamp_jobs config end_peers settle);
use Graceful::Etcd;
use Graceful::Test qw(slurp wait_for);
use HTTP::Tiny;
use List::Util qw(max sum);
use Time::HiRes qw(sleep);

use constant CROWD => 100;

# KiB: the share of this process in what it maps, and what is its alone.
sub memory_of {
    my ($pid) = @_;
    my $text = slurp("/proc/$pid/smaps_rollup");
    my ($pss) = $text =~ /^Pss:\s+(\d+)/m or die "cannot read /proc/$pid/smaps_rollup\n";

    return ($pss, sum($text =~ /^Private_\w+:\s+(\d+)/mg));
}

# Seconds on a CPU so far, of all threads.
sub computed {
    my ($pid) = @_;

    return sum(map { (split(' ', slurp($_)))[0] // 0 } glob("/proc/$pid/task/*/schedstat")) / 1e9;
}

# What each of them computed in $seconds, in ms.
sub watch_idle {
    my ($seconds, @pids) = @_;
    my %before = map { $_ => computed($_) } @pids;

    sleep($seconds);
    return map { (computed($_) - $before{$_}) * 1000 } @pids;
}

sub row_of_processes {
    my ($name, $pids, $busy) = @_;
    my @memory = map { [ memory_of($_) ] } @$pids;
    my $pss = median(map { $_->[0] } @memory);

    row($name, $pss, median(map { $_->[1] } @memory), sprintf('%.2f', median(@$busy)), sprintf('%.2f', max(@$busy)));
    return $pss;
}

sub head {
    my ($how, $seconds) = @_;

    heading(CROWD, " owners and as many standbys, $how: memory of one, KiB; CPU time in $seconds s of idleness, ms");
    return row('', 'PSS', 'private', 'CPU median', 'CPU max');
}

# Messages that etcd got from its clients so far; the gateway is one.
sub asked {
    my ($etcd) = @_;
    my $answer = HTTP::Tiny->new(timeout => 10)->get($etcd->url(0) . '/metrics');

    die "cannot read etcd's metrics: $answer->{content}\n" if !$answer->{success};
    return sum($answer->{content} =~ /^grpc_server_msg_received_total\{[^}]*\} (\S+)/mg);
}

# The same, and what they asked etcd.
sub idle_at_etcd {
    my ($etcd, $seconds, @pids) = @_;
    my $before = asked($etcd);
    my @busy = watch_idle($seconds, @pids);

    return (asked($etcd) - $before, @busy);
}

sub workers_of {
    my ($master, $state) = @_;

    return map { $master->wait_state($_ => $state)->{worker_pid} } sort keys %{ $master->status->{jobs} };
}

sub start_master {
    my ($box, $instance, $jobs, $more, $state) = @_;
    my $master = $box->start(config($box, $instance, $jobs, $more));

    wait_for("the status of $instance", sub { keys %{ $master->status->{jobs} // {} } == CROWD });
    my @workers = workers_of($master, $state);
    settle(1);    # the last report and status
    return ($master, @workers);
}

sub stop_masters {
    for my $master (@_) {
        $master->signal('TERM');
        $master->wait_exit;
    }
    return;
}

# Owners alone, then with the standbys. $watch: what is measured meanwhile, with the processes.
sub rows_of_graceful {
    my ($more, $watch) = @_;
    my $box = new_box();
    my $fifo = open_fifo($box);
    my $jobs = stamp_jobs($fifo, CROWD, 0);
    my ($first, @owners) = start_master($box, 'web-1', $jobs, $more, 'running');
    my ($owner_asks, @owners_busy) = $watch->($first->pid, @owners);
    my ($second, @standbys) = start_master($box, 'web-2', $jobs, $more, 'standby');
    my ($all_ask, @busy) = $watch->($second->pid, @standbys);
    my $first_busy = shift @owners_busy;
    my $second_busy = shift @busy;

    row_of_processes('master of ' . CROWD . ' owners', [ $first->pid ], [$first_busy]);
    row_of_processes('master of ' . CROWD . ' standbys', [ $second->pid ], [$second_busy]);
    my @pss = (row_of_processes('worker, owner', \@owners, \@owners_busy),
        row_of_processes('worker, standby', \@standbys, \@busy));
    stop_masters($second, $first);
    return (@pss, $owner_asks, $all_ask - $owner_asks);
}

sub rows_of_etcdctl {
    my ($etcd, $watch) = @_;
    my $box = new_box();
    my $fifo = open_fifo($box);
    my @owners = map { Bench::Etcdctl::start_etcdctl($box, $etcd, "/crowd-$_", $fifo, 0) } 1 .. CROWD;
    last_stamp($fifo, CROWD);
    settle(1);
    my ($owner_asks, @owners_busy) = $watch->(@owners);
    my @standbys = map { Bench::Etcdctl::start_etcdctl($box, $etcd, "/crowd-$_", $fifo, 0) } 1 .. CROWD;
    for my $n (1 .. CROWD) {
        wait_for('etcdctl to wait', sub { Bench::Etcdctl::queue_length($etcd, "/crowd-$n") == 2 });
    }
    settle(1);
    my ($all_ask, @busy) = $watch->(@standbys);
    my @pss = (row_of_processes('etcdctl lock, owner', \@owners, \@owners_busy),
        row_of_processes('etcdctl lock, standby', \@standbys, \@busy));
    end_peers(@standbys, @owners);
    return (@pss, $owner_asks, $all_ask - $owner_asks);
}

sub run_local {
    my ($options) = @_;
    my $seconds = $options->{quick} ? 2 : 10;

    head('local', $seconds);
    rows_of_graceful({}, sub { return (0, watch_idle($seconds, @_)) });
    return;
}

sub run_etcd {
    my ($options) = @_;
    my $seconds = $options->{quick} ? 15 : 60;
    my $etcd = Graceful::Etcd->start;
    my $watch = sub { return idle_at_etcd($etcd, $seconds, @_) };

    head('etcd', $seconds);
    my @ours = rows_of_graceful({ coordinator => $etcd->coordinator }, $watch);
    my @theirs = rows_of_etcdctl($etcd, $watch);
    row('  PSS to etcdctl lock, owner', ratio($ours[0], $theirs[0]));
    row('  PSS to etcdctl lock, standby', ratio($ours[1], $theirs[1]));
    heading('Messages to etcd of one idle job in a minute, both with a TTL of 15 s');
    row('', 'owner', 'standby');
    row('graceful', map { sprintf('%.1f', $_ / CROWD * 60 / $seconds) } @ours[2, 3]);
    row('etcdctl lock', map { sprintf('%.1f', $_ / CROWD * 60 / $seconds) } @theirs[2, 3]);
    return;
}

sub run {
    my ($options) = @_;

    run_local($options);
    return run_etcd($options) if Graceful::Etcd->installed;
    print "\netcd and etcdctl are not installed (apt-get install etcd-server etcd-client): no figures of them\n";
    return;
}

1;
