#!/usr/bin/perl
# A job that leaves a crowd behind: its worker ends them all, and is not kept from its lease and its signals by how many they are.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;

use Graceful::Test qw(slurp spew wait_for);

# With so many a time that grows with their square stands out on any machine.
my $CROWD = 3000;
my $box = Graceful::Test->new;

# At its first start it leaves processes that nothing but KILL ends, each in a session of its own, and fails.
my $script = spew($box->path('crowd'), <<'END_JOB');
use POSIX ();
my ($file, $n) = @ARGV;
$SIG{INT} = sub { exit 0 };
if (!-e $file) {
    $SIG{TERM} = 'IGNORE';
    pipe(my $in, my $out) or die;
    for (1 .. $n) {
        next if fork() // die "fork: $!";
        POSIX::setsid();
        $SIG{INT} = 'IGNORE';
        close $in;
        syswrite($out, 'x');
        sleep 1000 while 1;
    }
    read($in, my $all, $n);
    open(my $note, '>', $file) or die;
    exit 1;
}
sleep 1 while 1;
END_JOB

# In seconds, of the processor, which others may keep from it meanwhile.
sub time_of {
    my ($pid) = @_;
    my @fields = split(' ', (slurp("/proc/$pid/stat") =~ /.*\)(.*)/s)[0]);

    return ($fields[11] + $fields[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

subtest 'three thousand' => sub {
    my $file = $box->path('failed');
    my $master = $box->start($box->config('web-1',
        { orders => { command => [ $^X, $script, $file, "$CROWD" ], hurry_timeout => '100ms', restart_min => '10ms' } }));
    my $job = sub { $master->job('orders') };

    wait_for('the second start', sub { ($job->()->{state} // '') eq 'running' && ($job->()->{restarts} // 0) == 1 });
    like($master->log_text, qr/orders: killing every process of the job/, 'the crowd was killed');
    # It would be more than that if all were looked at once more for each that ends.
    my $took = time_of($job->()->{worker_pid});
    cmp_ok($took, '<', 2, "and that was little work: $took s");
    $master->signal('INT');
    is($master->wait_exit, 0, 'stopped');
};

done_testing;
