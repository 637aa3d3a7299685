#!/usr/bin/perl
# The wall clock jumps, forwards and back, while jobs run, dump, wait for the lock and wait to be started again: nothing is decided by
# it, so nothing changes but the times that are shown. The masters get another clock by t/lib/clock_shift.c.
use strict;
use warnings;

use Fcntl qw(O_CREAT O_WRONLY);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Etcd;
use Graceful::Test qw(slurp spew wait_for);

use constant { HOUR => 3600, DAY => 86400 };

plan(skip_all => 'a sanitizer must be loaded before all else') if slurp(Graceful::Test->graceful) =~ /__(?:a|t|ub)san_/;

my $shim = Graceful::Test->new;
my $library = $shim->path('clock_shift.so');
my @cc = split(' ', $ENV{CC} // 'cc');
system("@cc -shared -fPIC -o '$library' '$FindBin::Bin/../lib/clock_shift.c' -ldl 2>'$shim->{dir}/cc.log'");
plan(skip_all => 'there is no compiler') unless -x $library;

# In place, as the file is mapped.
sub jump {
    my ($box, $name, $seconds) = @_;

    sysopen(my $out, $box->path("$name.shift"), O_WRONLY | O_CREAT) or die "shift: $!\n";
    syswrite($out, pack('q', $seconds));
    return close($out);
}

sub shifted {
    my ($box, $name) = @_;

    $ENV{CLOCK_SHIFT} = $box->path("$name.shift");
    $ENV{LD_PRELOAD} = $library;
    return;
}

sub start_shifted {
    my ($box, $name, $jobs, $more) = @_;

    jump($box, $name, 0);
    return $box->start($box->config($name, $jobs, $more), sub { shifted($box, $name) });
}

# A worker from which this comes has seen the clock, and turned its loop, since.
sub checkpoints {
    my ($master) = @_;
    my $seq = $master->job('orders')->{seq} // 0;

    $master->signal('USR1');
    return wait_for("$master->{instance} saves", sub { ($master->job('orders')->{seq} // 0) > $seq });
}

# Its log has lines of that time.
sub has_logged_ok {
    my ($master, $shift) = @_;
    my @months = map { my @then = gmtime($_ + $shift); sprintf('%04d-%02d-', $then[5] + 1900, $then[4] + 1) } $^T, time;
    my $any = join('|', @months);

    return like($master->log_text, qr/^(?:$any)/m, "$master->{instance} was shifted by $shift s");
}

# Whatever the time seems to be when somebody asks.
sub ages_ok {
    my ($box, $master, $shift) = @_;

    jump($box, $master->{instance}, $shift);
    for my $command ('status', 'history', 'check') {
        my @line = ('env', 'CLOCK_SHIFT=' . $box->path("$master->{instance}.shift"), "LD_PRELOAD=$library", $box->graceful, $command,
            '-c', $master->{conf});
        my ($status, $out, $err) = $box->run(@line);
        is($status, 0, "graceful $command") or diag($err);
        unlike($out, qr/(?:^|[\s(])-\d/, "shows no time below nothing, shifted by $shift s");
    }
    return;
}

sub play {
    my ($etcd) = @_;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $late = Graceful::Actor->new($box, 'late');
    my %more = $etcd ? (coordinator => $etcd->coordinator(ttl => '20s')) : ();
    my %orders = (command => $actor->command('hold=' . $box->path('go')), checkpoint => '100ms', checkpoint_signal => 'USR1',
        stop_timeout => '10m', restart_min => '1s', restart_max => '1s');
    my %late = (command => $late->command('crash'), restart_min => '1h', restart_max => '1h');
    my $one = start_shifted($box, 'web-1', { orders => \%orders, late => \%late }, \%more);

    $one->wait_state(orders => 'running');
    $one->wait_state(late => 'backoff');
    my $two = start_shifted($box, 'web-2', { orders => \%orders }, \%more);
    $two->wait_state(orders => 'standby');

    # While it runs, and while the other one waits.
    for my $shift (400 * DAY, -400 * DAY, 5 * HOUR) {
        jump($box, 'web-1', $shift);
        jump($box, 'web-2', -$shift);
        checkpoints($one);
        ages_ok($box, $one, $shift - HOUR);
    }
    # While it dumps, until the lease was renewed.
    $one->signal('INT');
    $actor->wait_for_line(qr/^INT/);
    jump($box, 'web-1', 400 * DAY);
    jump($box, 'web-2', -400 * DAY);
    $etcd->wait_renewed('orders') if $etcd;
    jump($box, 'web-1', -400 * DAY);
    is($actor->count(qr/^start/), 1, 'the lock is kept');
    is($late->count(qr/^start/), 1, 'a wait of an hour is not over after a jump of days');
    ok(!$actor->count(qr/^dumped/), 'and the job still dumps');
    spew($box->path('go'), '');
    is($one->wait_exit, 0, 'the first master stops in order');
    my $start = $actor->wait_start(2);
    is("$start->{restored} $start->{count} $start->{by}", 'clean 1 web-2', 'the next run goes on from the dump');

    # While it waits to be started again.
    $two->wait_state(orders => 'running');
    kill('KILL', $start->{pid});
    $two->wait_log(qr/orders: the job is started again in/);
    jump($box, 'web-2', -500 * DAY);
    $actor->wait_start(3);
    $two->wait_state(orders => 'running');
    $two->signal('INT');
    is($two->wait_exit, 0, 'and the second');

    has_logged_ok($one, $_) for 400 * DAY, -400 * DAY;
    has_logged_ok($two, -500 * DAY);
    for my $master ($one, $two) {
        my @trouble = grep { /lost|killing|given up|hang/ } $master->log_text =~ /^(\S+ (?:warn|error) .*)/mg;
        is_deeply(\@trouble, [], "$master->{instance} has noticed nothing");
    }
    is($actor->count(qr/^(?:overlap|TERM)/), 0, 'no two copies ran, and nobody was hurried');
    return;
}

subtest 'local' => sub { play() };

subtest 'etcd' => sub {
    plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;
    play(Graceful::Etcd->start);
};

done_testing;
