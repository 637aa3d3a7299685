#!/usr/bin/perl
# The unit file with a real systemd: start, reload, stop, and the death of the master.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Systemd;
use Graceful::Test qw(build_dir slurp spew wait_for);

my $unit = 'graceful.service';
my $box = Graceful::Test->new;
my $actor = Graceful::Actor->new($box, 'orders')->elsewhere;
my $hold = $box->path('go');
# A user of its own, as what confines the service has to allow it.
my $conf = $box->config('web-1',
    { orders => { command => $actor->command("hold=$hold"), user => 'nobody', stop_timeout => '200s' } });
my $text = slurp(build_dir() . '/init/graceful.service');

spew($hold, '');
spew("$actor->{journal}$_", '') for '', '.kin';
chmod(0666, "$actor->{journal}$_") for '', '.kin';
is($text =~ s{^(Exec\w+)=\S+/graceful (\w+) -c \S+$}{$1=${\$box->graceful} $2 -c $conf}mg, 2,
    'the unit as it is installed, with this program');
# There is no network, nor any target, in the namespace.
$text =~ s/^(?:After|Wants)=.*\n//mg;
$text =~ s/^\[Unit\]/[Unit]\nDefaultDependencies=no/;
my $systemd = Graceful::Systemd->start($box, $unit => $text);
if (!$systemd) {
    note("the rest is skipped: $Graceful::Systemd::why");
    done_testing;
    exit 0;
}

# The master as its files show it: its PID is one of the namespace.
my $master = bless({ run_dir => $box->path('run-web-1') }, 'Graceful::Test::Master');

sub main_pid { return $systemd->property($unit, 'MainPID') }

sub job_is {
    my ($state) = @_;

    return wait_for("the job is $state", sub {
        my $status = $master->status;
        my $job = $status->{jobs}{orders};
        return ($job->{state} // '') eq $state && $status->{pid} == main_pid() && ($state ne 'running' || $job->{ready});
    });
}

subtest 'start' => sub {
    my ($status, $out, $err) = $systemd->ctl('start', $unit);

    is($status, 0, 'started') or diag($err, $systemd->ctl('status', $unit));
    is($systemd->property($unit, 'ActiveState'), 'active', 'it said that it is ready');
    job_is('running');
    wait_for('a status', sub { $systemd->property($unit, 'StatusText') eq '1 job: 1 running' });
    is($systemd->property($unit, 'WatchdogUSec'), '2min', 'it is watched');
};

subtest 'reload' => sub {
    my $pid = main_pid();
    my ($status, $out, $err) = $systemd->ctl('reload', $unit);

    is($status, 0, 'reloaded') or diag($err, slurp($box->path('systemd.log')), ($systemd->ctl('status', $unit))[1]);
    wait_for('a reload', sub { $master->status->{config} });
    wait_for('ready again', sub { $systemd->property($unit, 'ActiveState') eq 'active' });
    is(main_pid(), $pid, 'by the same master');
    is($actor->count(qr/^start/), 1, 'and the job was left alone');
};

subtest 'the master dies' => sub {
    my $pid = main_pid();

    unlink($hold);
    $systemd->ctl('kill', '--kill-who=main', '-s', 'KILL', $unit);
    $actor->wait_for_line(qr/^INT$/);
    wait_for('a new master', sub { my $now = main_pid(); $now != 0 && $now != $pid });
    is($actor->count(qr/^dumped/), 0, 'while the old job still dumps');
    job_is('standby');
    spew($hold, '');
    $actor->wait_for_line(qr/^start .*restored=clean count=1/);
    pass('its state was waited for');
    is($actor->count(qr/^overlap/), 0, 'never two at once');
    job_is('running');
};

subtest 'a stop longer than TimeoutStopSec' => sub {
    my $short = $text;

    $short =~ s/^TimeoutStopSec=.*/TimeoutStopSec=1/m;
    spew($box->path("units/$unit"), $short);
    $systemd->ctl('daemon-reload');
    unlink($hold);
    $systemd->ctl('stop', '--no-block', $unit);
    $actor->wait_for_line(qr/^INT$/, 2);
    wait_for('a status', sub { $systemd->property($unit, 'StatusText') eq '0 of 1 job dumped, waiting for orders' });
    # More than the second that it would have had.
    select(undef, undef, undef, 1.5);
    is($systemd->property($unit, 'ActiveState'), 'deactivating', 'systemd waits as long as it is asked to');
    spew($hold, '');
    wait_for('the end', sub { $systemd->property($unit, 'ActiveState') =~ /^(?:inactive|failed)$/ });
    is($systemd->property($unit, 'Result'), 'success', 'for the dump');
    is($actor->count(qr/^dumped 2$/), 1, 'which was made');
    is($master->status->{exit}, 0, 'and committed');
    my ($status, $out) = $systemd->inside('sh', '-c',
        'cat /sys/fs/cgroup/system.slice/graceful.service/cgroup.procs /sys/fs/cgroup/*/system.slice/graceful.service/cgroup.procs');
    is($out, '', 'nothing is left');
};

done_testing;
