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
    local $ENV{GRACEFUL_TEST_PATIENCE} = 20;    # what is broken on purpose does not come to an end
    my ($status, $out, $err) = $box->run($^X, "$FindBin::Bin/../chaos/run", '--seed', 1, '--patience', 15, '--jobs', 4, @words);

    return ($status, $out . $err);
}

# A commit that was on the way when its machine was cut off arrives when somebody else owns the job.
my @cases = (
    ['commits are fenced', [ '--ttl', 3, '--seconds', 16, '--pause', 2, '--only', 'cut machine' ], 'unfenced_commit', qr/committed (?:at|after)/],
    ['the lock is kept until the job is gone', [ '--seconds', 8, '--only', 'hand over' ], 'release_early', qr/two copies ran/],
    ['dead workers are rescued', [ '--seconds', 10, '--pause', 2.5, '--only', 'kill worker' ], 'skip_rescue', qr/a gap of|and epoch \d+ went on from/],
);

for my $case (@cases) {
    my ($name, $words, $guard, $why) = @{$case};

    subtest $name => sub {
        my ($status, $said) = chaos(@{$words});
        is($status, 0, 'it passes') or diag($said);
        ($status, $said) = chaos(@{$words}, '--developer', "$guard=fail::*");
        is($status, 1, 'without that it fails') or diag($said);
        like($said, $why, 'and says why');
    };
}

done_testing;
