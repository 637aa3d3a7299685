package Bench::Jobs;

# The job that is measured, t/bench/stamp, under graceful and under its peers: it writes into a FIFO when it began.

use strict;
use warnings;

use Exporter qw(import);
use File::Temp qw(tempdir);
use Graceful::Test qw(build_dir children_of slurp spew wait_for);
use List::Util qw(max);
use POSIX qw(mkfifo);
use Time::HiRes qw(sleep);

our @EXPORT_OK = qw(new_box open_fifo next_stamp last_stamp stamp_program stamp_jobs config start_peer end_peers child_of settle find_program);

my %peers;    # processes to end, whatever happens

END {
    my $status = $?;
    end_peers(keys %peers);
    $? = $status;
}

sub open_fifo {
    my ($box) = @_;
    my $path = $box->path('stamps');

    mkfifo($path, 0600) or die "cannot make $path: $!\n";
    # Read and write: it never ends, and no job finds it without a reader.
    open(my $fifo, '+<', $path) or die "cannot open $path: $!\n";
    return { path => $path, fd => $fifo, text => '' };
}

# The next job's name and when it began, in seconds.
sub next_stamp {
    my ($fifo) = @_;

    while (1) {
        return ($1, $2 / 1e9) if $fifo->{text} =~ s/^(\S+) (\d+)\n//;
        my $ready = '';
        vec($ready, fileno($fifo->{fd}), 1) = 1;
        select($ready, undef, undef, 60) or die "waited in vain for a job to begin\n";
        sysread($fifo->{fd}, $fifo->{text}, 4096, length($fifo->{text})) or die "cannot read the stamps: $!\n";
    }
}

# When the last of $n began.
sub last_stamp {
    my ($fifo, $n) = @_;
    return max(map { (next_stamp($fifo))[1] } 1 .. $n);
}

sub stamp_program { return build_dir() . '/t/bench/stamp' }

sub stamp_jobs {
    my ($fifo, $n, $size) = @_;
    my @names = map { sprintf('job%03d', $_) } 1 .. $n;

    return { map { $_ => { command => [ stamp_program(), $fifo->{path}, $_, "$size" ] } } @names };
}

# What a machine keeps in memory - /run, and what goes to a log daemon - is in memory here, too; states are on the disk, below
# $box->{disk}. Not so beside etcd, which is alone on its disk: elsewhere it is another machine's, and does not share a journal with
# the states of jobs.
sub new_box {
    my ($beside_etcd) = @_;
    my $disk = tempdir('graceful-bench-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    local $ENV{TMPDIR} = -w '/dev/shm' ? '/dev/shm' : $disk;
    my $box = Graceful::Test->new;

    $box->{disk} = $beside_etcd ? $box->dir : $disk;
    return $box;
}

sub config {
    my ($box, $instance, $jobs, $more) = @_;
    my $disk = $box->{disk};

    return $box->config($instance, $jobs, {
        log => { to => 'stderr', level => 'info' },
        coordinator => { type => 'local', path => "$disk/local" },
        state => { url => "file://$disk/store" },
        work_dir => "$disk/work-$instance",
        %{ $more // {} },
    });
}

# Starts another program; returns its pid.
sub start_peer {
    my ($log, @command) = @_;
    my $pid = fork() // die "cannot fork: $!\n";

    if ($pid == 0) {
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>>', $log);
        open(STDERR, '>>', $log);
        exec(@command) or POSIX::_exit(127);
    }
    $peers{$pid} = 1;
    return $pid;
}

# Kills them and what they started, and reaps them.
sub end_peers {
    my (@pids) = @_;

    kill('KILL', map { all_children_of($_) } @pids);
    kill('KILL', @pids);
    for (@pids) {
        waitpid($_, 0);
        delete $peers{$_};
    }
    return;
}

# Also those that another thread has started.
sub all_children_of {
    my ($pid) = @_;

    return map { split(' ', slurp($_)) } glob("/proc/$pid/task/*/children");
}

# The one job of a peer, when it has come to run.
sub child_of {
    my ($pid) = @_;
    my $stamp = stamp_program();

    return wait_for("the job of pid $pid", sub {
        return (grep { (readlink("/proc/$_/exe") // '') eq $stamp } all_children_of($pid))[0];
    });
}

# What follows a change - a report, a status, an acknowledgement on its way - is no part of what is measured next.
sub settle { return sleep($_[0] // 0.03) }

sub find_program {
    my ($name) = @_;
    return (grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/bin')[0];
}

1;
