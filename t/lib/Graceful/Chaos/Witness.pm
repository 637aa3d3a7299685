package Graceful::Chaos::Witness;

# When the keys of the jobs came and went. etcd's history has an order, but no times; so one process watches at each node, as any of
# them may be cut off or dead for a while, and whoever hears of a change first tells when it was. A watch through etcd's gateway outlives
# the loss of the leader, in silence (that of etcdctl ends), and goes on from where it was when its node comes back.
#
#   my $witness = Graceful::Chaos::Witness->start($etcd, $dir);
#   $witness->stop;
#   my %when = $witness->times;    # revision => seconds of CLOCK_BOOTTIME, at the latest

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use MIME::Base64 qw(encode_base64);
use POSIX ();
use Time::HiRes qw(clock_gettime);

use Graceful::Test qw(slurp);

use constant CLOCK_BOOTTIME => 7;

sub start {
    my ($class, $etcd, $dir) = @_;
    my $self = bless({ dir => $dir, pids => [] }, $class);
    my $parent = $$;

    mkdir($dir);
    for my $i ($etcd->nodes) {
        my $pid = fork() // die "fork: $!\n";
        if ($pid == 0) {
            $SIG{INT} = $SIG{PIPE} = 'IGNORE';
            watch("$dir/n$i", $etcd->url($i) =~ s{^http://}{}r, $parent);
            POSIX::_exit(0);
        }
        push @{ $self->{pids} }, $pid;
    }
    return $self;
}

# Until it is told to stop, or nobody is left who could.
sub watch {
    my ($path, $address, $parent) = @_;
    my $next = 1;

    open(my $out, '>', $path) or return;
    while (getppid() == $parent) {
        my $socket = IO::Socket::INET->new(PeerAddr => $address);
        if ($socket && syswrite($socket, request($address, $next))) {
            $next = listen_to($socket, $out, $next, $parent);
        } else {
            select(undef, undef, undef, 0.1);
        }
    }
    return;
}

sub request {
    my ($address, $revision) = @_;
    my ($key, $end) = map { encode_base64($_, '') } '/graceful/jobs/', '/graceful/jobs0';
    my $body = qq({"create_request":{"key":"$key","range_end":"$end","start_revision":"$revision"}});

    return "POST /v3/watch HTTP/1.1\r\nHost: $address\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

# Returns where the next watch has to begin.
sub listen_to {
    my ($socket, $out, $next, $parent) = @_;
    my $ready = IO::Select->new($socket);
    my $text = '';

    while (getppid() == $parent) {
        next if !$ready->can_read(1);
        sysread($socket, $text, 65536, length($text)) or last;
        my $now = clock_gettime(CLOCK_BOOTTIME);
        while ($text =~ s/^(.*)\n//) {
            my @revisions = $1 =~ /"mod_revision":"(\d+)"/g or next;
            syswrite($out, join('', map { "$now $_\n" } @revisions));
            $next = $revisions[-1] + 1;
        }
    }
    return $next;
}

sub stop {
    my ($self) = @_;

    local $?;
    kill('KILL', @{ $self->{pids} });
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
