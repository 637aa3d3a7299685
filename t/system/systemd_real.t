#!/usr/bin/perl
# The unit file with a real systemd: start, reload, stop, the death and the silence of the master, and a user who is not root.
use strict;
use warnings;

use Config;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Systemd;
use Graceful::Test qw(build_dir slurp source_dir spew wait_for);

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
# There is no target in the namespace.
$text =~ s/^\[Unit\]/[Unit]\nDefaultDependencies=no/;
my %others = (
    # For what a last commit needs. A shutdown stops everything in one transaction.
    'etcd.service' => "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    'down.target' => "[Unit]\nDefaultDependencies=no\nConflicts=etcd.service $unit\n",
);
my $systemd = Graceful::Systemd->start($box, $unit => $text, %others);
if (!$systemd) {
    note("the rest is skipped: $Graceful::Systemd::why");
    done_testing;
    exit 0;
}

# The master as its files show it: its PID is one of the namespace.
my $master = bless({ run_dir => $box->path('run-web-1') }, 'Graceful::Test::Master');

sub main_pid { return $systemd->property($unit, 'MainPID') }

sub install {
    my ($unit_text) = @_;

    spew($box->path("units/$unit"), $unit_text);
    return $systemd->ctl('daemon-reload');
}

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
    is($systemd->property($unit, 'TasksMax'), 'infinity', 'the number of all processes and threads of all jobs is not limited');
};

subtest 'reload' => sub {
    my $pid = main_pid();
    my ($status, $out, $err) = $systemd->ctl('reload', $unit);

    is($status, 0, 'reloaded') or diag($err, slurp($box->path('systemd.log')), ($systemd->ctl('status', $unit))[1]);
    wait_for('a reload', sub { $master->status->{config} });
    wait_for('ready again', sub { $systemd->property($unit, 'ActiveState') eq 'active' });
    is(main_pid(), $pid, 'by the same master');
    is($actor->count(qr/^start/), 1, 'and the job was left alone');

    my $good = slurp($conf);
    spew($conf, '{');
    isnt(($systemd->ctl('reload', $unit))[0], 0, 'it fails when the configuration is wrong');
    spew($conf, $good);
    wait_for('it runs on', sub { $systemd->property($unit, 'SubState') eq 'running' });
    is(main_pid(), $pid, 'and the service runs on as it was');
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

subtest 'the master hangs' => sub {
    my $begun = $actor->count(qr/^start /);

    # A master of a busy machine may come to say that it lives some seconds late.
    install($text =~ s/^WatchdogSec=.*/WatchdogSec=20/mr);
    # Is watched from its start on.
    $systemd->ctl('restart', $unit);
    job_is('running');
    $actor->wait_for_line(qr/^start /, $begun + 1);
    my $pid = main_pid();
    my $starts = $actor->count(qr/^start .*restored=clean/);
    $systemd->ctl('kill', '--kill-who=main', '-s', 'STOP', $unit);
    wait_for('a new master', sub { my $now = main_pid(); $now != 0 && $now != $pid });
    $actor->wait_for_line(qr/^start .*restored=clean/, $starts + 1);
    is($actor->count(qr/^overlap/), 0, 'never two at once');
    install($text);
    $systemd->ctl('restart', $unit);
    job_is('running');
};

subtest 'a shutdown, and a stop longer than TimeoutStopSec' => sub {
    my $dumps = $actor->count(qr/^dumped/);
    my $told = $actor->count(qr/^INT$/);

    install($text =~ s/^TimeoutStopSec=.*/TimeoutStopSec=5/mr);
    is(($systemd->ctl('start', 'etcd.service'))[0], 0, 'an etcd on this machine');
    unlink($hold);
    $systemd->ctl('start', '--no-block', 'down.target');
    $actor->wait_for_line(qr/^INT$/, $told + 1);
    wait_for('a status', sub { $systemd->property($unit, 'StatusText') eq '0 of 1 job dumped, waiting for orders' });
    # More than the seconds that it would have had.
    select(undef, undef, undef, 6);
    is($systemd->property($unit, 'ActiveState'), 'deactivating', 'systemd waits as long as it is asked to');
    spew($hold, '');
    wait_for('the end', sub { $systemd->property($unit, 'ActiveState') =~ /^(?:inactive|failed)$/ });
    is($systemd->property($unit, 'Result'), 'success', 'for the dump');
    is($actor->count(qr/^dumped/), $dumps + 1, 'which was made');
    is($master->status->{exit}, 0, 'and committed');
    wait_for('all else ends', sub { $systemd->property('etcd.service', 'ActiveState') eq 'inactive' });
    cmp_ok($systemd->property('etcd.service', 'InactiveEnterTimestampMonotonic'), '>=',
        $systemd->property($unit, 'InactiveEnterTimestampMonotonic'), 'what a commit may need ends after the master');
    my ($status, $out) = $systemd->inside('sh', '-c',
        'cat /sys/fs/cgroup/system.slice/graceful.service/cgroup.procs /sys/fs/cgroup/*/system.slice/graceful.service/cgroup.procs');
    is($out, '', 'nothing is left');
};

# adjtimex(2) by its number, as no program of the base system asks how good the clock is.
my %adjtimex = ('x86_64' => 159, 'aarch64' => 171);

subtest 'what confines the service lets a job see how good the clock is' => sub {
    my ($number) = map { $adjtimex{$_} } grep { $Config{archname} =~ /^$_-/ } keys %adjtimex;

    plan(skip_all => 'the number of adjtimex(2) is not known here') if !defined $number;
    my $script = spew($box->path('clock.pl'), 'my $timex = "\0" x 1024; exit(syscall(' . $number . ', $timex) < 0 ? 1 : 0)');
    my $probe = $text =~ s/^Type=.*/Type=oneshot/mr;
    $probe =~ s/^(?:ExecReload|Restart)=.*\n//mg;
    $probe =~ s/^ExecStart=.*/ExecStart=$^X $script/m;
    spew($box->path('units/probe.service'), $probe);
    $systemd->ctl('daemon-reload');
    is(($systemd->ctl('start', 'probe.service'))[0], 0, 'read') or diag(($systemd->ctl('status', 'probe.service'))[1]);
};

subtest 'the drop-in of the manual, for a user who is not root' => sub {
    my ($lines) = slurp(source_dir() . '/man/graceful.8') =~ /^\.Bd [^\n]*\n(\[Service\]\nUser=.*?)^\.Ed$/ms;
    my $dir = $box->path('plain');

    $lines =~ s/^User=.*/User=nobody/m;
    # That would be a directory of this machine; the other is in the namespace.
    $lines =~ s/^StateDirectory=.*\n//m;
    mkdir($dir);
    my $plain_actor = Graceful::Actor->new($box, 'plain/clicks')->elsewhere;
    my $plain = $box->config('web-2', {
        clicks => { command => $plain_actor->command("hold=$hold"), stop_timeout => '200s' },
    }, { coordinator => { type => 'local', path => "$dir/local" }, state => { url => "file://$dir/store" },
        run_dir => '/run/graceful', work_dir => "$dir/work" });
    chown((getpwnam('nobody'))[2, 3], $dir);
    mkdir($box->path("units/$unit.d"));
    spew($box->path("units/$unit.d/user.conf"), $lines);
    install($text =~ s/ -c \S+$/ -c $plain/mgr);

    my ($status, $out, $err) = $systemd->ctl('start', $unit);
    is($status, 0, 'it starts') or diag($err, ($systemd->ctl('status', $unit))[1]);
    $plain_actor->wait_for_line(qr/^start/);
    my ($pid, $inode) = (main_pid(), run_dir_inode());
    unlink($hold);
    $systemd->ctl('kill', '--kill-who=main', '-s', 'KILL', $unit);
    wait_for('a new master', sub { my $now = main_pid(); $now != 0 && $now != $pid });
    is(run_dir_inode(), $inode, 'run_dir stays, as the old job still dumps');
    is($plain_actor->count(qr/^dumped/), 0, 'which it does');
    spew($hold, '');
    $plain_actor->wait_for_line(qr/^start .*restored=clean count=1/);
    is(($systemd->ctl('reload', $unit))[0], 0, 'reloaded');
    is(($systemd->ctl('stop', $unit))[0], 0, 'stopped');
    is($systemd->property($unit, 'Result'), 'success', 'in order');
    is($plain_actor->count(qr/^overlap/), 0, 'never two at once');
};

sub run_dir_inode { return ($systemd->inside('stat', '-c', '%i', '/run/graceful'))[1] }

done_testing;
