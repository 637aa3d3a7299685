#!/usr/bin/perl
# Endpoints that fail in every way that is worse than to be dead, TLS with client certificates, users and passwords whose tokens expire,
# watches that are cut and compacted. Two masters, and the account of their stream, on each.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use Test::More;

use Graceful::Etcd;
use Graceful::Proxy;
use Graceful::Team;

plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

# Hands the jobs over from one to the other.
sub hand_over {
    my ($team, $from, $to) = @_;

    is($team->stop($from), 0, "$from->{instance} stops, and $to->{instance} takes over") or diag($from->log_text);
    $team->wait_running($to);
    return;
}

# The first endpoint accepts connections and never answers, behind the second nobody listens, the third is a member without quorum.
subtest 'bad endpoints before the good one' => sub {
    my $etcd = Graceful::Etcd->start;
    my $alone = Graceful::Etcd->start(nodes => 3);
    my $silent = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1') or die "no port: $!\n";
    my ($leader) = $alone->leader;
    $alone->kill_node($_) for grep { $_ != $leader } $alone->nodes;
    my @bad = ('http://127.0.0.1:' . $silent->sockport, 'http://127.0.0.1:1', $alone->url($leader));
    my %order = (first => [ @bad, $etcd->url(0) ], second => [ reverse(@bad), $etcd->url(0) ]);
    my $team = Graceful::Team->new($etcd, ['orders'],
        coordinator => sub { return $etcd->coordinator(ttl => '300s', endpoints => $order{ $_[0] }) });

    my $first = $team->start('first');
    $team->wait_running($first);
    my $second = $team->start('second');
    $team->wait_standby($second);
    hand_over($team, $first, $second);
    $team->finish;
};

subtest 'TLS, users, tokens that expire, a member that is restarted' => sub {
    my $etcd = Graceful::Etcd->start(tls => 1, users => 1);
    my $team = Graceful::Team->new($etcd, ['orders'], ttl => '300s');
    my $first = $team->start('first');
    $team->wait_running($first);
    my $second = $team->start('second');
    $team->wait_standby($second);

    # A member that is restarted knows none of the tokens that it gave.
    $etcd->restart(0);
    $team->wait_commits;
    pass('it commits under a new token');
    hand_over($team, $first, $second);
    $team->start('first');
    $team->finish;
};

# What the standby waits for is told by its watch, which ends without a word.
subtest 'watches that are cut and compacted' => sub {
    my $etcd = Graceful::Etcd->start;
    my %proxy = map { $_ => Graceful::Proxy->start($etcd->url(0), $etcd->path("proxy-$_")) } qw(first second);
    my $team = Graceful::Team->new($etcd, ['orders'],
        coordinator => sub { return $etcd->coordinator(ttl => '300s', endpoints => [ $proxy{ $_[0] }->url ]) });
    my $first = $team->start('first');
    $team->wait_running($first);
    my $second = $team->start('second');
    $team->wait_standby($second);

    for my $round (1 .. 3) {
        $_->pause for values %proxy;
        my ($revision) = $etcd->ctl('put', '/elsewhere', $round, '-w', 'json') =~ /"revision":(\d+)/;
        $etcd->ctl('compact', $revision);
        $_->resume for values %proxy;
        $_->cut for values %proxy;
        $team->wait_commits;
        my ($from, $to) = $round % 2 ? ($first, $second) : ($second, $first);
        hand_over($team, $from, $to);
        my $again = $team->start($from->{instance});
        $team->wait_standby($again);
        $from == $first ? $first = $again : ($second = $again);
    }
    $team->finish;
};

done_testing;
