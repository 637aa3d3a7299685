package Graceful::Chaos::History;

# All that ever happened below a prefix of etcd, in order: etcd keeps it until it is compacted.
#
#   my @changes = Graceful::Chaos::History::read_all($etcd, '/graceful/jobs/');
#   # { revision, key, created, deleted, record (of a state), released (the epoch whose lock went in the same transaction),
#   #   holder (of a lock) }
#   my %places = Graceful::Chaos::History::places(\@changes, \%when);
#   # job => [ { epoch, machine, pid (of the worker), lease, from, to }, ... ], as the queue for its lock was

use strict;
use warnings;

use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64);

my $json = JSON::PP->new;

sub read_all {
    my ($etcd, $prefix) = @_;
    my $mark = "${prefix}end-of-history";

    $etcd->ctl_somewhere('put', $mark, 'x');
    for my $i ($etcd->live_nodes) {
        my @lines = watch($etcd->url($i), $prefix, encode_base64($mark, ''));
        return changes_of(@lines) if @lines;
    }
    die "etcdctl watch ended before the whole history was there\n" . $etcd->diagnosis;
}

# Nothing, if the node does not tell it all.
sub watch {
    my ($url, $prefix, $end) = @_;
    my @lines;

    my $pid = open(my $out, '-|', 'timeout', 60, 'etcdctl', '--endpoints', $url, 'watch', '--prefix', '--rev=1', '-w', 'json', $prefix)
        or die "etcdctl watch: $!\n";
    while (my $line = <$out>) {
        push @lines, $line;
        last if index($line, $end) >= 0;
    }
    {
        local ($?, $!);
        kill('TERM', $pid);    # a watch has no end of its own
        close($out);
    }
    return @lines && index($lines[-1], $end) >= 0 ? @lines : ();
}

# Parsing takes its time: not before all is there, as etcdctl would have to wait for it.
sub changes_of {
    my (@lines) = @_;
    my @changes = map { change_of($_) } map { @{ $json->decode($_)->{Events} // [] } } @lines;
    note_releases(@changes);
    return @changes;
}

sub change_of {
    my ($event) = @_;
    my $kv = $event->{kv};
    my $key = decode_base64($kv->{key});
    my $deleted = ($event->{type} // 0) =~ /^(?:DELETE|1)\z/ ? 1 : 0;
    my %change = (key => $key, revision => $kv->{mod_revision}, created => $kv->{create_revision}, deleted => $deleted);

    $change{holder} = eval { $json->decode(decode_base64($kv->{value})) } // {} if !$change{deleted} && $key =~ m{/lock/};
    $change{record} = $json->decode(decode_base64($kv->{value})) if !$change{deleted} && $key =~ m{/state\z};
    return \%change;
}

# The lock that a commit releases goes in the same revision.
sub note_releases {
    my (@changes) = @_;
    my (%created, %by_revision);

    for my $change (@changes) {
        my ($job) = $change->{key} =~ m{/jobs/([^/]+)/} or next;
        if ($change->{key} =~ m{/lock/}) {
            $created{ $change->{key} } = $change->{created} if !$change->{deleted};
            $by_revision{"$job $change->{revision}"} = $created{ $change->{key} } if $change->{deleted};
        }
    }
    for my $change (grep { $_->{record} } @changes) {
        my ($job) = $change->{key} =~ m{/jobs/([^/]+)/};
        $change->{released} = $by_revision{"$job $change->{revision}"};
    }
    return;
}

# When each change was: by %when, or, as nobody saw it, at the latest when the next one was.
sub times_of {
    my ($changes, $when) = @_;
    my %times;
    my $next;

    for my $change (reverse @{$changes}) {
        $next = $when->{ $change->{revision} } // $next;
        $times{ $change->{revision} } = $next;
    }
    return %times;
}

sub places {
    my ($changes, $when) = @_;
    my %times = times_of($changes, $when);
    my (%places, %standing);

    for my $change (grep { defined $times{ $_->{revision} } } @{$changes}) {
        my ($job, $lease) = $change->{key} =~ m{/jobs/([^/]+)/lock/([0-9a-f]+)\z} or next;
        my $at = $times{ $change->{revision} };

        if ($change->{deleted}) {
            my $place = delete $standing{ $change->{key} } // next;
            $place->{to} = $at;
        } elsif (!$standing{ $change->{key} }) {
            $standing{ $change->{key} } = { epoch => $change->{created}, machine => $change->{holder}{instance} // '?',
                pid => $change->{holder}{pid} // 0, lease => $lease, from => $at };
            push @{ $places{$job} }, $standing{ $change->{key} };
        }
    }
    return %places;
}

1;
