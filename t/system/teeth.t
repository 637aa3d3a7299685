#!/usr/bin/perl
# The chaos runner has teeth: it passes, and with a guard left out (src/base/fault.h) the same run fails, for the reason that it should.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Etcd;
use Graceful::Test;

plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

# Returns the exit status and what it said.
sub chaos {
    my (@words) = @_;
    my $box = Graceful::Test->new;
    my ($status, $out, $err) = $box->run($^X, "$FindBin::Bin/../chaos/run", '--seed', 1, '--patience', 15, @words);

    return ($status, $out . $err);
}

# A commit takes its time, so that a machine that is suspended often wakes in the middle of one.
my @suspend = ('--ttl', 3, '--seconds', 25, '--jobs', 4, '--pause', 2, '--only', 'suspend machine');
my @cases = (
    ['commits are fenced', [@suspend], 'worker.before_commit=slow::*', 'unfenced_commit=fail::*', qr/epoch \d+ committed at revision \d+, when epoch \w+ owned it/],
    ['the lock is kept until the job is gone', [ '--seconds', 12, '--pause', 1, '--only', 'hand over' ], undef, 'release_early=fail::*', qr/two copies ran/],
    ['dead workers are rescued', [ '--seconds', 14, '--pause', 2.5, '--only', 'kill worker' ], undef, 'skip_rescue=fail::*', qr/a gap of|dumped event \d+, and epoch \d+ went on from/],
);

for my $case (@cases) {
    my ($name, $words, $always, $guard, $why) = @{$case};

    subtest $name => sub {
        my ($status, $said) = chaos(@{$words}, $always ? ('--developer', $always) : ());
        is($status, 0, 'it passes') or diag($said);
        ($status, $said) = chaos(@{$words}, '--developer', join(',', grep { $_ } $always, $guard));
        is($status, 1, "with $guard it fails") or diag($said);
        like($said, $why, 'and says why');
    };
}

done_testing;
