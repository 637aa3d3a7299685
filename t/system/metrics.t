#!/usr/bin/perl
# metrics_file: what Prometheus reads of a master.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Test qw(wait_for slurp spew alive children_of);

my $box = Graceful::Test->new;
my $file = $box->path('metrics/graceful.prom');
my $dump = $box->job('keeper', 'echo first | dump', 'echo last | dump');
my $conf = $box->config('web-1', { keeper => { command => $dump, checkpoint => '100ms' } }, { metrics_file => $file });

# The value of a series of web-1, undef if there is none.
sub value {
    my ($name, $labels) = $_[0] =~ /^(\w+)(?:\{(.*)\})?$/;
    my $line = join(',', "graceful_$name\{instance_name=\"web-1\"", $labels // ()) . '}';

    return slurp($file) =~ /^\Q$line\E (\S+)$/m ? $1 : undef;
}

sub wait_value {
    my ($series, $want) = @_;
    return wait_for("$series to be $want", sub { (value($series) // '') eq $want });
}

# What Prometheus' own checker says; undef if it is not there.
sub promtool {
    my ($path) = grep { -x } map { "$_/promtool" } split(/:/, $ENV{PATH}), $ENV{PROMTOOL_DIR} // ();
    my $text = '';

    return undef if !defined $path;
    open(my $out, '-|', "'$path' check metrics <'$file' 2>&1") or die;
    $text .= $_ while <$out>;
    close($out);
    return $? == 0 && $text eq '' ? 'fine' : "status $?: $text";
}

sub check_format {
    my ($when) = @_;

  SKIP: {
        my $verdict = promtool() // skip('promtool is not here (package "prometheus")', 1);
        is($verdict, 'fine', "promtool has nothing to say $when");
    }
    return;
}

subtest 'a file that cannot be written harms no job' => sub {
    my $master = $box->start($conf);

    $master->wait_state(keeper => 'running');
    $master->wait_log(qr{cannot write the metrics file, the jobs go on: .*metrics/graceful\.prom});
    my ($rc, $out, $err) = $box->run($box->graceful, 'check', '-c', $conf);
    is($rc, 78, 'check sees it, too');
    like($err, qr/metrics_file: cannot look at .*metrics: No such file/, 'and says why');
    mkdir($box->path('metrics')) or die;
    $master->wait_log(qr/the metrics file is written again/);
    is(scalar(() = $master->log_text =~ /cannot write the metrics file/g), 1, 'told once');
    wait_value('jobs{state="running"}', 1);
    $master->signal('INT');
    is($master->wait_exit, 0, 'ended well');
    is(value('up'), 0, 'and says so');
    is(value('jobs{state="stopped"}'), 1, 'stopped');
    check_format('of a master that ended');
};

subtest 'a life in figures' => sub {
    my $master = $box->start($conf);
    my $now = time();

    $master->wait_state(keeper => 'running');
    wait_value('up', 1);
    wait_value('job_owned{job_name="keeper"}', 1);
    wait_for('a backup to show', sub { (value('job_backups_total{job_name="keeper"}') // 0) > 0 });
    wait_value('job_state_bytes{job_name="keeper"}', 6);
    my $saved = value('job_last_backup_timestamp_seconds{job_name="keeper"}');
    ok($saved >= $now - 1 && $saved <= time() + 1, 'the time of the last backup');
    is(value('job_epoch{job_name="keeper"}'), $master->job('keeper')->{epoch}, 'the epoch');
    is(value('job_lock_expiry_timestamp_seconds{job_name="keeper"}'), undef, 'a lock on this machine does not expire');
    wait_value('handovers_total{way="took"}', 1);
    is(value("handover_phase_seconds_count{phase=\"$_\"}"), 1, "$_ was measured") for qw(restore start);
    is(value("handover_phase_seconds_count{phase=\"$_\"}"), 0, "$_ was not") for qw(signal dump upload commit);
    like(slurp($file), qr/^graceful_build_info\{instance_name="web-1",version="[^"]+"\} 1$/m, 'who it is');
    is((stat($file))[2] & 07777, 0644, 'everybody may read it');
    check_format('of a master that runs');

    kill('KILL', $master->job('keeper')->{job_pid});
    wait_value('job_failures_total{job_name="keeper"}', 1);
    wait_value('job_restarts_total{job_name="keeper"}', 1);
    kill('KILL', $master->job('keeper')->{worker_pid});
    wait_value('job_worker_deaths_total{job_name="keeper"}', 1);
    wait_value('handovers_total{way="took"}', 2);
    is(value('job_restarts_total{job_name="keeper"}'), 1, 'what a dead worker counted stays counted');

    kill('INT', $master->wait_state(keeper => 'running')->{worker_pid});
    wait_value('handovers_total{way="took"}', 3);
    is(value("handover_phase_seconds_count{phase=\"$_\"}"), 1, "$_ was measured") for qw(signal dump);
    $master->signal('INT');
    is($master->wait_exit, 0, 'ended well');
    is(value('stopping'), 1, 'the last file says how');
    check_format('at the end');
};

# It holds figures only, so that is no reason not to run.
subtest 'a directory that others can write to' => sub {
    my $dir = $box->path('open');
    mkdir($dir) && chmod(0777, $dir) or die "$dir: $!\n";
    my $path = $box->config('web-3', {}, { metrics_file => "$dir/graceful.prom" });
    my ($rc, undef, $err) = $box->run($box->graceful, 'check', '-c', $path);
    my $told = qr/metrics_file"?: \Q$dir\E can be written by others than its owner/;

    is($rc, 0, 'graceful check takes it');
    like($err, qr/warning: $told/, 'and warns');
    my $master = $box->start($path);
    $master->wait_log(qr/warn .*$told/);
    $master->signal('HUP');
    $master->wait_log(qr/reloaded /);
    is(scalar(() = $master->log_text =~ /$told/g), 2, 'so does the master, and once more at a reload');
    $master->signal('INT');
    is($master->wait_exit, 0, 'it runs');
    ok(-s "$dir/graceful.prom", 'and writes it');
};

# As when a new version starts beside the old one. node_exporter drops what is there twice.
subtest 'two masters in one directory' => sub {
    my @files = map { $box->path("metrics/$_.prom") } qw(old new);
    my @masters = map { $box->start($box->config($_, { keeper => { command => $dump } }, { metrics_file => $box->path("metrics/$_.prom") })) }
        qw(old new);
    my %seen;

    wait_for('both files', sub { !grep { slurp($_) !~ /^graceful_job_owned\{/m } @files });
    for my $line (map { /^(graceful_\S+) /mg } map { slurp($_) } @files) {
        $seen{$line}++;
    }
    cmp_ok(scalar(keys %seen), '>', 100, 'every line');
    is(join(' ', grep { $seen{$_} > 1 } sort keys %seen), '', 'stands there once');
    is(join(' ', grep { /[{,](job|instance)=/ } keys %seen), '', 'and has no label that Prometheus gives itself');
    $_->signal('INT') for @masters;
    is($_->wait_exit, 0, 'ended well') for @masters;
};

subtest 'another place, by a reload' => sub {
    my ($old, $new) = map { $box->path("metrics/$_.prom") } qw(here there);
    my $begin = sub { return $box->config('web-4', { keeper => { command => $dump } }, $_[0] ? { metrics_file => $_[0] } : {}) };
    my $master = $box->start($begin->($old));

    wait_for('the first file', sub { -s $old });
    $begin->($new);
    $master->signal('HUP');
    wait_for('the file in its new place', sub { -s $new });
    ok(!-e $old, 'the old one is removed');
    $begin->();
    $master->signal('HUP');
    wait_for('none is wanted', sub { !-e $new });
    $master->signal('INT');
    is($master->wait_exit, 0, 'ended well');
    ok(!-e $new, 'and none is written');
};

subtest 'a name for node_exporter' => sub {
    my ($rc, $out, $err) = $box->run($box->graceful, 'check', '-c',
        $box->config('web-2', { keeper => { command => $dump } }, { metrics_file => $box->path('metrics/graceful.txt') }));

    is($rc, 0, 'another name will do');
    like($err, qr/warning: metrics_file: does not end in "\.prom"/, 'but is hardly meant');
    for my $ours ('run-web-2/graceful.lock', 'work-web-2/places.json', 'local/graceful/jobs/keeper/lock', 'store/graceful/jobs/keeper/1-1') {
        ($rc, $out, $err) = $box->run($box->graceful, 'check', '-c',
            $box->config('web-2', { keeper => { command => $dump } }, { metrics_file => $box->path($ours) }));
        is($rc, 78, "not the name of $ours");
        like($err, qr/metrics_file: must end in "\.prom" in a directory that graceful keeps/, 'and says why');
    }
    my $trap = $box->path('work-web-2') . '/jobs/keeper/x.prom';
    ($rc, $out, $err) = $box->run($box->graceful, 'check', '-c',
        $box->config('web-2', { keeper => { command => $dump } }, { metrics_file => $trap }));
    is($rc, 78, 'not where a job can write');
    like($err, qr/metrics_file cannot lie in/, 'and says why');
};

done_testing();
