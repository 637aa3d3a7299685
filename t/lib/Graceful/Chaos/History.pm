package Graceful::Chaos::History;

# All that ever happened below a prefix of etcd, in order: etcd keeps it until it is compacted.
#
#   my @changes = Graceful::Chaos::History::read_all($etcd, '/graceful/jobs/');
#   # { revision, key, created, deleted, record (of a state), released (the epoch whose lock went in the same transaction) }

use strict;
use warnings;

use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64);

my $json = JSON::PP->new;

sub read_all {
    my ($etcd, $prefix) = @_;
    my $mark = "${prefix}end-of-history";

    $etcd->ctl('put', $mark, 'x');
    my ($url) = map { $etcd->url($_) } $etcd->live_nodes;
    my $pid = open(my $out, '-|', 'timeout', 60, 'etcdctl', '--endpoints', $url, 'watch', '--prefix', '--rev=1', '-w', 'json', $prefix)
        or die "etcdctl watch: $!\n";
    my $end = encode_base64($mark, '');
    my @lines;
    while (my $line = <$out>) {
        push @lines, $line;
        last if index($line, $end) >= 0;
    }
    {
        local ($?, $!);
        kill('TERM', $pid);    # a watch has no end of its own
        close($out);
    }
    # Parsing takes its time: not before all is there, as etcdctl would have to wait for it.
    die "etcdctl watch ended before the whole history was there\n" if !@lines || index($lines[-1], $end) < 0;
    my @changes = map { change_of($_) } map { @{ $json->decode($_)->{Events} // [] } } @lines;
    note_releases(@changes);
    return @changes;
}

sub change_of {
    my ($event) = @_;
    my $kv = $event->{kv};
    my $key = decode_base64($kv->{key});
    my %change = (key => $key, revision => $kv->{mod_revision}, created => $kv->{create_revision}, deleted => ($event->{type} // 0) eq 'DELETE' || ($event->{type} // 0) eq '1');

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

1;
