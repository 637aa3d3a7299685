#!/usr/bin/perl
# The chaos runner has teeth: a script of faults (t/lib/Graceful/Chaos/Script.pm) passes, and with the guard left out that it leads to
# (src/base/fault.h) the same script fails, for the reason that it should.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Etcd;
use Graceful::Test;

plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

my $box = Graceful::Test->new;
my @cases = (
    ['commits are fenced', 'fence', 'unfenced_commit', qr/epoch \d+ committed at revision \d+, when epoch \d+ owned it/],
    ['the lock is kept until the job is gone', 'last process', 'release_early', qr/two copies ran/],
    ['dead workers are rescued', 'rescue', 'skip_rescue', qr/gap not accounted for: [\d.]+ s without a cause: .* \(m1 had to release the lock\)/],
);

my @run = ($^X, "$FindBin::Bin/../chaos/run", '--ttl', 8, '--slack', 2);

for my $case (@cases) {
    my ($name, $script, $guard, $why) = @{$case};
    my @both = map { $box->begin(@run, '--script', $script, @{$_}) } [], [ '--developer', "$guard=fail::*" ];

    subtest $name => sub {
        my ($whole, @whole_said) = $box->finish($both[0]);
        is($whole, 0, 'it passes') or diag(@whole_said);
        my ($broken, $said, $complaint) = $box->finish($both[1]);
        is($broken, 1, 'without that it fails') or diag($said, $complaint);
        like($said, $why, 'and says why');
    };
}

done_testing;
