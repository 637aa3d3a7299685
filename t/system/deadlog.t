#!/usr/bin/perl
# A log that is closed, full, dead or deaf: jobs run, and a stop dumps and ends in order all the same.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Fcntl qw(O_NOCTTY O_RDWR O_WRONLY);
use IO::Socket;
use POSIX qw(dup2);
use Test::More;

use Graceful::Pty qw(open_pty);
use Graceful::Test qw(wait_for);

# A pipe holds 64 KiB: more than that when it starts, and once more when it stops.
my $words = 'for i in {1..3000}; do echo "line $i of a job that has much to say"; done';

# Runs a master whose standard error is what $prepare makes of it, from start to stop. $meanwhile is called when the job runs.
sub live {
    my ($prepare, $meanwhile, $more) = @_;
    my $box = Graceful::Test->new;
    my $job = $box->job('orders', "$words\ntouch \"\$dir/runs\"", "$words\necho 42 | dump");
    my $master = $box->start($box->config('web-1', { orders => { command => $job } }, $more), $prepare && sub { $prepare->($box) });

    wait_for('the job runs, and is not held up by what it says', sub {
        die "the master ended\n" if $master->ended;
        return -e $box->path('runs') && ($master->job('orders')->{state} // '') eq 'running';
    });
    $meanwhile->($master) if $meanwhile;
    $master->signal('INT');
    is($master->wait_exit, 0, 'every state dumped, every lock released');
    my $told = $master->status->{jobs}{orders};
    ok($told->{clean} && $told->{size} == 3, 'the state was committed');
    return $master;
}

sub onto {
    my ($fd) = @_;

    return sub { dup2($fd, 2) // POSIX::_exit(126) };
}

subtest 'closed' => sub {
    live(sub { POSIX::close($_) for 0 .. 2 });
};

subtest 'a pipe whose reader is dead' => sub {
    pipe(my $read, my $write) or die "pipe: $!\n";

    # As Perl makes them, they are close-on-exec.
    live(onto(fileno($write)), sub { close($read); close($write) });
};

subtest 'a pipe that nobody reads' => sub {
    pipe(my $read, my $write) or die "pipe: $!\n";

    live(onto(fileno($write)));
    sysread($read, my $text, 1 << 20);
    like($text, qr/\A20\S+ \w+ +master\[\d+\] /, 'what found room is there');
};

subtest 'a pipe that is read again in the end' => sub {
    pipe(my $read, my $write) or die "pipe: $!\n";
    my $text = '';

    live(onto(fileno($write)), sub {
        my ($master) = @_;

        $read->blocking(0);
        wait_for('all of it is heard', sub { !defined sysread($read, $text, 65536, length($text)) });
        $master->signal('HUP');
        wait_for('a reload', sub { $master->status->{config} });
    });
    1 while sysread($read, $text, 65536, length($text));
    like($text, qr/ warn +\w+\[\d+\] .*lines of this process were lost here.* lines=\d+$/m, 'what was lost is told');
};

# As systemd-journald has it.
subtest 'a socket whose reader is dead' => sub {
    my ($near, $far) = IO::Socket->socketpair(AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!\n";

    live(onto(fileno($far)), sub { close($near) });
};

subtest 'a socket that nobody reads' => sub {
    my ($near, $far) = IO::Socket->socketpair(AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!\n";

    live(onto(fileno($far)));
    sysread($near, my $text, 1 << 20);
    like($text, qr/\A20\S+ \w+ +master\[\d+\] /, 'what found room is there');
    unlike($text, qr/^(?!20\d\d-)/m, 'and no line of it was cut');
};

subtest 'a full disk' => sub {
    sysopen(my $full, '/dev/full', O_WRONLY) or plan(skip_all => 'no /dev/full here');

    live(onto(fileno($full)));
};

subtest 'a terminal that is gone' => sub {
    my ($near, $name) = open_pty();

    plan(skip_all => 'no pseudo-terminals here') if !defined $name;
    sysopen(my $far, $name, O_RDWR | O_NOCTTY) or die "$name: $!\n";
    live(onto(fileno($far)), sub { close($near) });
};

subtest 'a terminal that nobody reads, opened by another user' => sub {
    my ($near, $name) = open_pty();

    plan(skip_all => 'no pseudo-terminals here') if !defined $name;
    plan(skip_all => 'only root may become another user') if $> != 0;
    sysopen(my $far, $name, O_RDWR | O_NOCTTY) or die "$name: $!\n";
    live(sub {
        my ($box) = @_;

        dup2(fileno($far), 2) // POSIX::_exit(126);
        chown(65534, 65534, $box->dir);
        $) = '65534 65534';
        ($(, $<, $>) = (65534, 65534, 65534);
        POSIX::_exit(125) if $< != 65534 || $> != 65534;
    });
};

subtest 'syslog, whether there is one or not' => sub {
    live(undef, undef, { log => { to => 'syslog', level => 'debug' } });
};

subtest 'a master that cannot run says so where it was started, too' => sub {
    my $box = Graceful::Test->new;
    my $job = $box->job('orders', 'touch "$dir/runs"', 'echo 42 | dump');
    my $conf = $box->config('web-1', { orders => { command => $job } }, { log => { to => 'syslog', level => 'info' } });
    my $master = $box->start($conf);

    wait_for('the job runs', sub { -e $box->path('runs') && ($master->job('orders')->{state} // '') eq 'running' });
    my ($status, $out, $err) = $box->run($box->graceful, 'run', '-c', $conf);
    is("$status $out", '1 ', 'a second one ends');
    like($err, qr/^graceful: cannot run with \Q$conf\E: another master runs here/m, 'with the reason');
    $master->signal('INT');
    is($master->wait_exit, 0, 'the first one does not mind');
};

done_testing;
