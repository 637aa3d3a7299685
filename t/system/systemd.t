#!/usr/bin/perl
# systemd's side: what a master says over NOTIFY_SOCKET, what it keeps to itself, and the unit file.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);
use Test::More;

use Graceful::Actor;
use Graceful::Notify;
use Graceful::Test qw(build_dir slurp spew wait_for);

my %limits = (stop_timeout => '200s', hurry_timeout => '60s');

# A box with an init system that listens, and the configuration of two jobs. The dump of "orders" waits for the file "go".
sub set_up {
    my ($held) = @_;
    my $box = Graceful::Test->new;
    my $init = Graceful::Notify->new($box->path('init.sock'));
    my %actors = map { $_ => Graceful::Actor->new($box, $_) } qw(orders clicks);
    my @words = $held ? ('hold=' . $box->path('go')) : ();
    my $conf = $box->config('web-1', {
        orders => { command => $actors{orders}->command(@words), %limits },
        clicks => { command => $actors{clicks}->command, %limits },
    });

    return ($box, $init, $conf, %actors);
}

subtest 'from the start to the stop' => sub {
    my ($box, $init, $conf, %actors) = set_up('held');
    my $master = $box->start($conf, sub { $init->prepare });

    $init->wait_for_line(qr/^READY=1$/);
    $init->wait_for_line(qr/^STATUS=2 jobs: 2 running$/);
    is($init->count(qr/^READY=1$/), 1, 'ready once');
    is($init->count(qr/^WATCHDOG/), 0, 'nobody asked for signs of life');
    $master->wait_state($_ => 'running') for qw(orders clicks);
    wait_for('both are ready', sub { $master->job('orders')->{ready} && $master->job('clicks')->{ready} });

    $master->signal('INT');
    $init->wait_for_line(qr/^STOPPING=1$/);
    $init->wait_for_line(qr/^STATUS=1 of 2 jobs dumped, waiting for orders$/);
    like($init->wait_for_line(qr/^EXTEND_TIMEOUT_USEC=/), qr/=30000000$/, 'asks for time to stop');
    spew($box->path('go'), '');
    is($master->wait_exit, 0, 'exit status');
    is($init->count(qr/^STOPPING=1$/), 1, 'stopping once');
    is($init->count(qr/^READY=1$/), 1, 'and never ready again');
};

subtest 'a job that asks for more time to stop' => sub {
    my $box = Graceful::Test->new;
    my $init = Graceful::Notify->new($box->path('init.sock'));
    my $actor = Graceful::Actor->new($box, 'orders');
    my $conf = $box->config('web-1', { orders => {
        command => $actor->command('hold=' . $box->path('go'), 'extend=100000000'), stop_timeout => '6s', hurry_timeout => '3s',
    } });
    my $master = $box->start($conf, sub { $init->prepare });

    $master->wait_ready('orders');
    $master->signal('INT');
    $init->wait_for_line(qr/^EXTEND_TIMEOUT_USEC=(?:[12]\d{7})$/);    # 26 s, less what has passed
    pass('first there is what the configuration gives it');
    $init->wait_for_line(qr/^EXTEND_TIMEOUT_USEC=30000000$/);
    pass('then what it asked for');
    spew($box->path('go'), '');
    is($master->wait_exit, 0, 'exit status');
};

subtest 'a reload' => sub {
    my ($box, $init, $conf, %actors) = set_up();
    my $master = $box->start($conf, sub { $init->prepare });

    $init->wait_for_line(qr/^READY=1$/);
    $master->signal('HUP');
    like($init->wait_for_line(qr/^MONOTONIC_USEC=/), qr/=\d+$/, 'with its time');
    $init->wait_for_line(qr/^READY=1$/, 2);
    my @told = grep { /^READY|^RELOADING|^STOPPING/ } $init->lines;
    is_deeply(\@told, ['READY=1', 'RELOADING=1', 'READY=1'], 'reloading, then ready again');

    spew($conf, '{');
    $master->signal('HUP');
    $init->wait_for_line(qr/^RELOADING=1$/, 2);
    $init->wait_for_line(qr/^READY=1$/, 3);
    pass('ready after a reload that failed, too');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
};

subtest 'signs of life' => sub {
    my ($box, $init, $conf, %actors) = set_up();
    my $master = $box->start($conf, sub { $init->prepare(WATCHDOG_USEC => 200_000, WATCHDOG_PID => $$) });

    $init->wait_for_line(qr/^WATCHDOG=1$/, 5);
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');

    my $quiet = Graceful::Notify->new($box->path('quiet.sock'));
    my $other = $box->start($conf, sub { $quiet->prepare(WATCHDOG_USEC => 200_000, WATCHDOG_PID => getppid()) });
    $quiet->wait_for_line(qr/^STATUS=2 jobs: 2 running$/);    # a second after the first status
    is($quiet->count(qr/^WATCHDOG/), 0, 'none when another process is meant');
    $other->signal('INT');
    is($other->wait_exit, 0, 'exit status');
};

subtest 'neither workers nor jobs get the variables' => sub {
    my $box = Graceful::Test->new;
    my $init = Graceful::Notify->new($box->path('init.sock'));
    my $job = $box->job('orders', 'env >"$dir/env.tmp"; mv "$dir/env.tmp" "$dir/env"');
    my $conf = $box->config('web-1', { orders => {
        command => $job, pass_env => [qw(FOO)],
    } });
    my $master = $box->start($conf, sub { $init->prepare(WATCHDOG_USEC => 60_000_000, WATCHDOG_PID => $$, FOO => 1) });

    wait_for('the environment', sub { -e $box->path('env') });
    my ($socket) = slurp($box->path('env')) =~ /^NOTIFY_SOCKET=(.*)$/m;
    isnt($socket, $init->path, "a job has its worker's socket");
    unlike(slurp($box->path('env')), qr/^WATCHDOG_/m, 'and no watchdog of the master');
    like(slurp($box->path('env')), qr/^FOO=1$/m, 'but what it was promised');
    $master->signal('INT');
    is($master->wait_exit, 0, 'exit status');
    is($init->count(qr/^READY=1$/), 1, 'the init system heard the master alone');
};

subtest 'an init system that does not read, or is gone' => sub {
    my ($box, $init, $conf, %actors) = set_up();
    my $full = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $init->path);

    $full->blocking(0);
    1 while defined $full->send('X=' . 'x' x 1000);
    my $master = $box->start($conf, sub { $init->prepare });
    $master->wait_log(qr/cannot tell the init system/);
    $master->wait_state($_ => 'running') for qw(orders clicks);
    $init->wait_for_line(qr/^READY=1$/);
    pass('hears it once it reads again');
    $master->wait_log(qr/hears of this master again/);
    unlink($init->path);
    wait_for('ready', sub { $master->job('orders')->{ready} && $master->job('clicks')->{ready} });
    $master->signal('INT');
    is($master->wait_exit, 0, 'a stop does not need it');
    is($actors{orders}->count(qr/^dumped/), 1, 'the state was dumped');
};

subtest '--ready=notify' => sub {
    my ($box, $init, $conf, %actors) = set_up();
    my $master = $box->start($conf, sub { delete $ENV{NOTIFY_SOCKET} }, '--ready=notify');

    is($master->wait_exit, 1, 'does not start without somebody to tell');
    like($master->log_text, qr/NOTIFY_SOCKET is not set/, 'and says so');
    my $second = $box->start($conf, sub { $init->prepare }, '--ready=notify');
    $init->wait_for_line(qr/^READY=1$/);
    $second->signal('INT');
    is($second->wait_exit, 0, 'else it starts');
    my $third = $box->start($conf, sub { $ENV{NOTIFY_SOCKET} = 'nonsense' });
    is($third->wait_exit, 1, 'nor with an address that makes no sense');
    like($third->log_text, qr/"nonsense" is neither/, 'and says so');
    my $fourth = $box->start($conf, undef, '--ready=soon');
    is($fourth->wait_exit, 64, 'another word');
};

subtest 'the unit file' => sub {
    my $box = Graceful::Test->new;
    my $text = slurp(build_dir() . '/init/graceful.service');
    my $unit = $box->path('graceful.service');

    plan(skip_all => 'no systemd-analyze here') if !grep { -x "$_/systemd-analyze" } split(/:/, $ENV{PATH});
    $text =~ s{^(Exec\w+)=\S+}{$1=${\$box->graceful}}mg;
    spew($unit, $text);
    my ($status, $out, $err) = $box->run(qw(systemd-analyze verify --man=no --recursive-errors=no), $unit);
    is("$status $err", '0 ', 'systemd knows every word of it');
    # From 70 on it would call it exposed.
    ($status, $out, $err) = $box->run(qw(systemd-analyze security --offline=true --threshold=69), $unit);
    is($status, 0, 'and calls it confined') or diag($out, $err);
};

subtest 'its time to stop' => sub {
    my $box = Graceful::Test->new;
    my ($seconds) = slurp(build_dir() . '/init/graceful.service') =~ /^TimeoutStopSec=(\d+)$/m;
    my ($status, $out, $err) = $box->run($box->graceful, 'check', '--kill-timeout', $seconds, '-c', $box->sample);
    is($status, 0, 'is longer than any stop of the sample configuration') or diag($err);
};

done_testing;
