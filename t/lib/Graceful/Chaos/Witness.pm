package Graceful::Chaos::Witness;

# When the lock keys of the jobs went away. etcd's history has an order, but no times; so one etcdctl watches at each node, as any of
# them may be cut off or dead for a while, and whoever hears of a change first tells when it was.
#
#   my $witness = Graceful::Chaos::Witness->start($etcd, $dir, @jobs);
#   $witness->stop;
#   my %when = $witness->times;    # revision => seconds of CLOCK_BOOTTIME, at the latest

use strict;
use warnings;

use IO::Select;
use IPC::Open2;
use POSIX ();
use Time::HiRes qw(clock_gettime);

use Graceful::Test qw(slurp);

use constant CLOCK_BOOTTIME => 7;

sub start {
    my ($class, $etcd, $dir, @jobs) = @_;
    my $self = bless({ dir => $dir, pids => [] }, $class);
    my $parent = $$;

    mkdir($dir);
    for my $i ($etcd->nodes) {
        my $pid = fork() // die "fork: $!\n";
        if ($pid == 0) {
            watch("$dir/n$i", $etcd->url($i), $parent, @jobs);
            POSIX::_exit(0);
        }
        push @{ $self->{pids} }, $pid;
    }
    return $self;
}

# Until it is told to stop, or nobody is left who could.
sub watch {
    my ($path, $url, $parent, @jobs) = @_;
    local $ENV{ETCDCTL_API} = 3;
    my $pid = open2(my $said, my $words, 'etcdctl', '--endpoints', $url, 'watch', '-i', '-w', 'json');
    my $ready = IO::Select->new($said);
    my $text = '';

    $SIG{INT} = 'IGNORE';
    $SIG{TERM} = sub { kill('KILL', $pid) };
    open(my $out, '>', $path) or return;
    syswrite($words, "watch --rev=1 --prefix /graceful/jobs/$_/lock/\n") for @jobs;
    while (getppid() == $parent) {
        next if !$ready->can_read(1);
        sysread($said, $text, 65536, length($text)) or last;
        my $now = clock_gettime(CLOCK_BOOTTIME);
        while ($text =~ s/^(.*)\n//) {
            my $line = $1;
            syswrite($out, join('', map { "$now $_\n" } $line =~ /"mod_revision":(\d+)/g));
        }
    }
    kill('KILL', $pid);
    return waitpid($pid, 0);
}

sub stop {
    my ($self) = @_;

    local $?;
    kill('TERM', @{ $self->{pids} });
    waitpid($_, 0) for splice(@{ $self->{pids} });
    return;
}

sub times {
    my ($self) = @_;
    my %when;

    for my $line (map { split(/\n/, slurp($_)) } glob("$self->{dir}/n*")) {
        my ($time, $revision) = split(' ', $line);
        $when{$revision} = $time if !$when{$revision} || $time < $when{$revision};
    }
    return %when;
}

1;
