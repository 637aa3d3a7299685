#!/usr/bin/perl
# tour.pl - the demonstration: real jobs on growing files, handed from master to master, and an account at the end.
#
# Run by ./demo; needs GRACEFUL_BUILDDIR. Exit status 0 only if every event was counted exactly once and every stop went
# as it should. At a terminal it pauses between two steps, so that they can be read.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Graceful::Test qw(wait_for slurp spew);
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use Time::HiRes qw(clock_gettime sleep time CLOCK_MONOTONIC);

$| = 1;
my $began = clock_gettime(CLOCK_MONOTONIC);
my $box = Graceful::Test->new;
my $graceful = $box->graceful;
my $tally = $box->tally;
my $real_log = '/var/log/dpkg.log';
my @numbered = qw(clicks orders);
my @streams = (@numbered, -s $real_log ? 'packages' : ());
my %feeder;
my @gaps;
my $failed = 0;

$SIG{$_} = \&interrupted for qw(INT TERM HUP PIPE);

# Ends the masters and their jobs, and removes the directory.
sub interrupted {
    $box->clean_up;
    print "\ninterrupted; everything that was started is ended\n" if $$ == $box->{owner};
    exit(130);
}

sub say_line { return print('         ', @_, "\n") }

sub say_step {
    sleep(1) if -t STDOUT && %feeder;
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

sub feed {
    my ($name) = @_;
    my $path = $box->path("$name.events");

    spew($path, '');
    pipe(my $stop_read, my $stop_write) or die "cannot make a pipe: $!\n";
    my $pid = fork() // die "cannot fork: $!\n";
    if ($pid == 0) {
        $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
        close($_) for $stop_write, map { $_->{stop} } values %feeder;
        write_events($path, $stop_read, $name eq 'packages' ? lines_of_log() : numbered_lines($name));
        POSIX::_exit(0);
    }
    close($stop_read);
    $feeder{$name} = { pid => $pid, stop => $stop_write, path => $path };
    return;
}

# Every line with a number of its own, so that each can be accounted for.
sub numbered_lines {
    my ($name) = @_;
    my $n = 0;

    return sub { return sprintf("%s-%06d at %.3f\n", $name, ++$n, time) };
}

# Those of this machine's own log, over and over.
sub lines_of_log {
    my @lines = split(/^/, slurp($real_log));
    my $n = 0;

    pop @lines if $lines[-1] !~ /\n\z/;
    return sub { return $lines[ $n++ % @lines ] };
}

sub write_events {
    my ($path, $stop, $next_line) = @_;
    my $ready = '';

    open(my $out, '>>', $path) or die "cannot write $path: $!\n";
    $out->autoflush(1);
    vec($ready, fileno($stop), 1) = 1;
    # The end of the pipe says stop: also when the tour dies.
    until (select(my $r = $ready, undef, undef, 0.01)) {
        print {$out} $next_line->() for 1 .. 4;
    }
    return;
}

sub stop_feeding {
    my $total = 0;

    for my $name (@streams) {
        close($feeder{$name}{stop});
        waitpid($feeder{$name}{pid}, 0);
        my $lines = () = slurp($feeder{$name}{path}) =~ /\n/g;
        $feeder{$name}{lines} = $lines;
        $total += $lines;
    }
    return $total;
}

# --- the masters

sub configuration {
    my ($instance) = @_;
    my %jobs;

    for my $name (@streams) {
        my @key = $name eq 'packages' ? ('--field', '3') : ();
        $jobs{$name} = { command => [ $tally, '--interval', '500', @key, $box->path("$name.events") ], checkpoint => '1s' };
    }
    return $box->config($instance, \%jobs, { log => { to => 'stderr', level => 'info' } });
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

# The last committed state of a job, as the coordinator and the store keep it.
sub committed_state {
    my ($job) = @_;
    my $record = decode_json(slurp($box->path("local/graceful/jobs/$job/state")));
    my $path = $box->path("$job.committed");

    return substr($record->{url}, length('file://')) if $record->{url};
    return spew($path, decode_base64($record->{data}));
}

sub counts {
    my ($job) = @_;
    my ($status, $out, $err) = $box->run($tally, '--show', committed_state($job));

    die "cannot read the committed state of $job: $err" if $status != 0;
    return { map { /^(\d+) (.*)$/ ? ($2 => $1) : () } split(/\n/, $out) };
}

# Every line of a stream has a number of its own, so each must have been counted once.
sub account {
    my ($job) = @_;
    my $counts = counts($job);
    my ($lost, $twice) = (0, 0);

    for my $n (1 .. $feeder{$job}{lines}) {
        my $seen = delete $counts->{ sprintf('%s-%06d', $job, $n) } // 0;
        $lost++ if $seen == 0;
        $twice += $seen - 1 if $seen > 1;
    }
    my $invented = keys %$counts;
    say_account($job, $lost, $twice + $invented);
    return $lost + $twice + $invented;
}

# The lines of the real log, counted by other means: they have no numbers, but each key must occur as often.
sub account_of_packages {
    my $counts = counts('packages');
    my ($lost, $twice) = (0, 0);

    for (split(/\n/, slurp($feeder{packages}{path}))) {
        my @field = split(' ');
        $counts->{ $field[2] // '' }--;
    }
    for my $more (values %$counts) {
        $lost -= $more if $more < 0;
        $twice += $more if $more > 0;
    }
    say_account('packages', $lost, $twice);
    return $lost + $twice;
}

sub say_account {
    my ($job, $lost, $twice) = @_;
    my $lines = $feeder{$job}{lines};

    return say_line(sprintf('%-9s written %6d   counted %6d   lost %d   duplicated %d', $job, $lines, $lines - $lost + $twice,
        $lost, $twice));
}

# --- the tour

sub start_first {
    say_step(scalar @streams, ' event files begin to grow, each by 400 lines a second',
        @streams > @numbered ? " (\"packages\" replays this machine's $real_log)." : '.');
    feed($_) for @streams;
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

sub stop_last {
    my ($master) = @_;
    my $total = stop_feeding();

    say_step("The files stop growing, at $total lines in all. When these are counted, $master->{instance} is stopped.");
    for my $name (@streams) {
        wait_for("$name is counted to its end", sub {
            ($master->job($name)->{status} // '') =~ /^$feeder{$name}{lines} lines/;
        });
    }
    show_status($master);
    my ($status, $progress) = $box->run($graceful, 'stop', '--run-dir', $master->{run_dir});
    must($status == 0, "graceful stop has status 0, not $status");
    say_line('$ graceful stop');
    say_line($_) for split(/\n/, $progress);
    must_end_well($master);
    return;
}

sub main {
    my $web1 = start_first();
    my $web2 = start_beside();

    stop_owner($web1, $web2);
    my $web3 = upgrade($web2);
    kill_worker($web3);
    stop_last($web3);
    say_step('The account: what was written, against the last committed states.');
    my $wrong = 0;
    $wrong += account($_) for @numbered;
    $wrong += account_of_packages() if @streams > @numbered;
    must($wrong == 0, 'every event was counted once');
    my @sorted = sort { $a <=> $b } @gaps;
    say_line(sprintf('%d hand-overs; a job stood still for %d ms (median), %d ms at most', scalar @sorted,
        $sorted[ $#sorted / 2 ], $sorted[-1])) if @sorted;
    say_step($failed ? "FAILED: not everything was as it should be ($failed)." : 'All is well: lost 0, duplicated 0.');
    return $failed ? 1 : 0;
}

exit(main());
