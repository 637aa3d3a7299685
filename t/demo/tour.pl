#!/usr/bin/perl
# tour.pl - the demonstration: real jobs on growing files, handed from master to master, and an account at the end.
#
# tour.pl [--etcd]
#
# Run by ./demo; needs GRACEFUL_BUILDDIR. With --etcd the masters meet in a real etcd of three members instead of in a directory, and
# one more step kills the one that leads. Exit status 0 only if every event was counted exactly once and every stop went as it
# should. At a terminal it pauses between two steps, so that they can be read.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Graceful::Account;
use Graceful::Etcd;
use Graceful::Test qw(wait_for slurp);
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

$| = 1;
die "usage: tour.pl [--etcd]\n" if "@ARGV" !~ /^(?:--etcd)?$/;
my $began = clock_gettime(CLOCK_MONOTONIC);
my $box = Graceful::Test->new;
my $graceful = $box->graceful;
my $tally = $box->tally;
my $real_log = '/var/log/dpkg.log';
my $etcd;
my @streams = (qw(clicks orders), -s $real_log ? 'packages' : ());
my %account;
my @gaps;
my $failed = 0;

$SIG{$_} = \&interrupted for qw(INT TERM HUP PIPE);

# Ends the masters and their jobs, and etcd, and removes their directories.
sub interrupted {
    exit(130) if $$ != $box->{owner};
    $box->clean_up;
    $etcd->clean_up if $etcd;
    print "\ninterrupted; everything that was started is ended\n";
    exit(130);
}

sub say_line { return print('         ', @_, "\n") }

sub say_step {
    sleep(1) if -t STDOUT && %account;
    return printf("\n[%5.1fs] %s\n", clock_gettime(CLOCK_MONOTONIC) - $began, join('', @_));
}

# One thing that must be so.
sub must {
    my ($holds, $what) = @_;

    return if $holds;
    $failed++;
    return say_line("NOT SO: $what");
}

# --- the events: files that grow by some 400 lines a second each

# "packages" replays the lines of this machine's own log, over and over.
sub begin_stream {
    my ($name) = @_;
    my %more = $name eq 'packages' ? (next => lines_of_log(), field => 3) : ();

    $account{$name} = Graceful::Account->new($box, $name, %more);
    $account{$name}->begin;
    return;
}

sub lines_of_log {
    my @lines = split(/^/, slurp($real_log));
    my $n = 0;

    pop @lines if $lines[-1] !~ /\n\z/;
    return sub { return $lines[ $n++ % @lines ] };
}

# --- the coordinator

sub start_etcd {
    say_step('A real etcd of three members starts, on free ports of the loopback.');
    $etcd = Graceful::Etcd->start(nodes => 3);
    say_line(join(' ', $etcd->endpoints), ', led by n', $etcd->leader);
    return;
}

sub coordinator {
    return $etcd ? { coordinator => $etcd->coordinator } : {};
}

# The last committed record of a job's state.
sub record_of {
    my ($job) = @_;

    return $etcd ? $etcd->value("/graceful/jobs/$job/state") : slurp($box->path("local/graceful/jobs/$job/state"));
}

# --- the masters

sub configuration {
    my ($instance) = @_;
    my %jobs;

    for my $name (@streams) {
        $jobs{$name} = { command => $account{$name}->command('--interval', '500'), checkpoint => '1s' };
    }
    return $box->config($instance, \%jobs, { log => { to => 'stderr', level => 'info' }, %{ coordinator() } });
}

sub show_status {
    my ($master) = @_;
    my ($status, $out) = $box->run($graceful, 'status', '--run-dir', $master->{run_dir});

    must($status == 0, "graceful status has status 0, not $status");
    say_line('$ graceful status');
    say_line($_) for map { s/\s+$//r } split(/\n/, $out);
    return;
}

# When the first such line of a log was written, in milliseconds of the day.
sub moment {
    my ($log, $pattern) = @_;
    my ($h, $m, $s) = $log =~ /^\S+T(\d+):(\d+):([\d.]+)Z [^\n]*$pattern/m or return;

    return ($h * 60 + $m) * 60_000 + $s * 1000;
}

# Milliseconds from one moment to another, of the next day perhaps; undef if either is.
sub gap {
    my ($left, $back) = @_;

    return defined $left && defined $back ? ($back - $left) % 86_400_000 : undef;
}

# From the stop signal that the old owner sent to its job, to the start of the job at the new one.
sub show_gaps {
    my ($from, $to) = @_;

    for my $job (@streams) {
        my $gap = gap(moment($from->log_text, "$job: stopping: sent"), moment($to->log_text, "$job: started the job"));
        my ($size) = $from->log_text =~ /$job: committed the state and released the lock .*size=(\d+)/;
        my $whole = defined $gap && defined $size;

        must($whole, "$job was handed over from $from->{instance} to $to->{instance}");
        next if !$whole;
        push @gaps, $gap;
        say_line(sprintf('%-9s stood still for %3d ms: %d bytes dumped, committed, checked and restored', $job, $gap, $size));
    }
    return;
}

sub all_in_state {
    my ($master, $state) = @_;

    $master->wait_state($_ => $state) for @streams;
    return;
}

sub must_end_well {
    my ($master) = @_;
    my $status = $master->wait_exit;

    must($status == 0, "$master->{instance} ends with status 0, not $status");
    say_line("$master->{instance} ", $1) if $master->log_text =~ /(stopped: [^\n]*)/;
    return;
}

# --- the account

# Returns how many lines were not counted once.
sub account {
    my ($job) = @_;
    my $sum = $account{$job}->settle(record_of($job));

    say_line(sprintf('%-9s written %6d   counted %6d   lost %d   duplicated %d', $job, @$sum{qw(lines counted lost twice)}));
    return $sum->{lost} + $sum->{twice};
}

# --- the tour

sub start_first {
    say_step(scalar @streams, ' event files begin to grow, each by 400 lines a second',
        (grep { $_ eq 'packages' } @streams) ? " (\"packages\" replays this machine's $real_log)." : '.');
    begin_stream($_) for @streams;
    say_line('Master web-1 starts a job on each: tally, which counts lines by key and keeps offset and counts as its state.');
    my $master = $box->start(configuration('web-1'));
    all_in_state($master, 'running');
    for my $job (@streams) {
        wait_for("a first backup of $job", sub { ($master->job($job)->{saved} // 0) > 0 });
    }
    show_status($master);
    return $master;
}

sub start_beside {
    my $master = $box->start(configuration('web-2'));

    say_step('Master web-2 starts beside it, on the same coordinator: its workers queue for the locks.');
    all_in_state($master, 'standby');
    show_status($master);
    return $master;
}

sub stop_owner {
    my ($from, $to) = @_;

    say_step("$from->{instance} is stopped gracefully (SIGINT). Every job dumps its state; $to->{instance} takes over.");
    $from->signal('INT');
    must_end_well($from);
    all_in_state($to, 'running');
    show_gaps($from, $to);
    return;
}

sub upgrade {
    my ($old) = @_;

    say_step("A rolling upgrade: the new version, web-3, starts; $old->{instance} is told to stop (SIGTERM) and drains.");
    my $new = $box->start(configuration('web-3'));
    all_in_state($new, 'standby');
    $old->signal('TERM');
    must_end_well($old);
    all_in_state($new, 'running');
    show_gaps($old, $new);
    return $new;
}

sub kill_worker {
    my ($master) = @_;
    my $before = $master->job('orders');
    my $log = $master->log_text;

    say_step('Worse: the worker of "orders" is killed (SIGKILL). Its job is told to stop and dumps; a rescue worker commits that.');
    kill('KILL', $before->{worker_pid});
    wait_for('orders runs again', sub {
        my $now = $master->job('orders');
        ($now->{state} // '') eq 'running' && $now->{epoch} > $before->{epoch};
    });
    my $news = substr($master->log_text, length($log));
    my ($restored) = $news =~ /orders: started the job [^\n]*restored=(\w+)/;

    for ($news =~ /^(\S+T\S+ .*orders: (?:the worker was|the job of the|a rescue|committed|released|started the job).*)$/mg) {
        my ($clock, $who, $what) = /T(\S+)Z \S+ +(\S+) +(.*)/;
        say_line(sprintf('%s  %-14s %s', $clock, $who, $what));
    }
    my $gap = gap(moment($news, 'orders: the worker was'), moment($news, 'orders: started the job'));
    say_line(sprintf('%-9s stood still for %3d ms', 'orders', $gap)) if defined $gap;
    must(($restored // '') eq 'clean', 'orders goes on from the very state that it dumped when its worker died');
    return;
}

# No job notices: leases outlast the election of another leader.
sub kill_leader {
    my ($master) = @_;
    my $leader = $etcd->leader;
    my %before = map { $_ => $master->job($_) } @streams;

    say_step("The member of etcd that leads, n$leader, is killed (SIGKILL). The others elect another one; the jobs go on.");
    $etcd->kill_node($leader);
    say_line('Now n', $etcd->leader, ' leads.');
    for my $job (@streams) {
        wait_for("$job is backed up again", sub { ($master->job($job)->{seq} // 0) > $before{$job}{seq} });
        must(($master->job($job)->{job_pid} // 0) == $before{$job}{job_pid}, "$job went on as if nothing had happened");
    }
    say_line('Every job is the process that it was before, and has committed another state since.');
    $etcd->run_node($leader);
    return;
}

sub stop_last {
    my ($master) = @_;
    my $total = 0;

    $total += $account{$_}->end for @streams;
    say_step("The files stop growing, at $total lines in all. When these are counted, $master->{instance} is stopped.");
    $account{$_}->wait_counted($master) for @streams;
    show_status($master);
    my ($status, $progress) = $box->run($graceful, 'stop', '--run-dir', $master->{run_dir});
    must($status == 0, "graceful stop has status 0, not $status");
    say_line('$ graceful stop');
    say_line($_) for split(/\n/, $progress);
    must_end_well($master);
    return;
}

sub main {
    start_etcd() if @ARGV;
    my $web1 = start_first();
    my $web2 = start_beside();

    stop_owner($web1, $web2);
    my $web3 = upgrade($web2);
    kill_worker($web3);
    kill_leader($web3) if $etcd;
    stop_last($web3);
    say_step('The account: what was written, against the last committed states.');
    my $wrong = 0;
    $wrong += account($_) for @streams;
    must($wrong == 0, 'every event was counted once');
    my @sorted = sort { $a <=> $b } @gaps;
    say_line(sprintf('%d hand-overs; a job stood still for %d ms (median), %d ms at most', scalar @sorted,
        $sorted[ $#sorted / 2 ], $sorted[-1])) if @sorted;
    say_step($failed ? "FAILED: not everything was as it should be ($failed)." : 'All is well: lost 0, duplicated 0.');
    return $failed ? 1 : 0;
}

exit(main());
