#!/usr/bin/perl
# The chaos runner has teeth: a script of faults (t/lib/Graceful/Chaos/Script.pm) passes, and with the guard left out that it leads to
# (src/base/fault.h) the same script fails, for the reason that it should.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Etcd;
use Graceful::Test qw(slurp);

plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

my $box = Graceful::Test->new;
my @cases = (
    ['commits are fenced', 'fence', 'unfenced_commit', qr/epoch \d+ committed at revision \d+, when epoch \d+ owned it/],
    ['the lock is kept until the job is gone', 'last process', 'release_early', qr/two copies ran/],
    ['dead workers are rescued', 'rescue', 'skip_rescue', qr/gap not accounted for: [\d.]+ s without a cause: .* \(m1 had to release the lock\)/],
);

# Returns its pid; what it says is in the file.
sub begin {
    my ($out, @words) = @_;
    my $pid = fork() // die "cannot fork: $!\n";

    if ($pid == 0) {
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>', $out);
        open(STDERR, '>&', \*STDOUT);
        exec($^X, "$FindBin::Bin/../chaos/run", '--ttl', 8, '--slack', 2, @words) or POSIX::_exit(127);
    }
    return $pid;
}

sub end_of {
    my ($pid) = @_;

    waitpid($pid, 0);
    return $? & 127 ? 128 + ($? & 127) : $? >> 8;
}

for my $case (@cases) {
    my ($name, $script, $guard, $why) = @{$case};
    my ($whole, $broken) = map { $box->path("$guard.$_") } qw(whole broken);
    my @pids = (begin($whole, '--script', $script), begin($broken, '--script', $script, '--developer', "$guard=fail::*"));

    subtest $name => sub {
        is(end_of($pids[0]), 0, 'it passes') or diag(slurp($whole));
        is(end_of($pids[1]), 1, 'without that it fails') or diag(slurp($broken));
        like(slurp($broken), $why, 'and says why');
    };
}

done_testing;
