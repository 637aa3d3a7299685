#!/usr/bin/perl
# graceful history: the hand-overs of a machine, step by step.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json encode_json);
use Test::More;

use Graceful::Etcd;
use Graceful::Test qw(wait_for slurp spew);

my $box = Graceful::Test->new;
my $job = { keeper => { command => $box->job('keeper', 'echo first | dump', 'echo last | dump'), checkpoint => '100ms' } };
my @conf = map { $box->config("web-$_", $job) } 1 .. 2;

sub history {
    my ($n, @args) = @_;
    my ($rc, $out, $err) = $box->run($box->graceful, 'history', '-c', $conf[$n - 1], @args);

    return wantarray ? ($rc, $out, $err) : $rc == 0 ? $out : "status $rc: $err";
}

sub lines { my ($n) = @_; return @{ decode_json(scalar history($n, '--json')) } }

sub in_order {
    my ($stamps, @keys) = @_;
    my $before = 0;

    for my $key (@keys) {
        return "$key is missing" if !$stamps->{$key};
        return "$key is before what came before it" if $stamps->{$key} < $before;
        $before = $stamps->{$key};
    }
    return 'in order';
}

my ($rc, $out, $err) = history(1);
is($rc, 0, 'no history is none');
is($out, '', 'with nothing in it');
like($err, qr/no hand-over of any job is known/, 'as it says');
is(scalar history(1, '--json'), "[]\n", 'also in JSON');

my $one = $box->start($conf[0], sub { umask(077) });
$one->wait_state(keeper => 'running');
wait_for('the state to be committed', sub { $one->job('keeper')->{seq} });
my $two = $box->start($conf[1]);
$two->wait_state(keeper => 'standby');
$one->signal('INT');
is($one->wait_exit, 0, 'the first gives the job up');
$two->wait_state(keeper => 'running');
wait_for('the second to note it', sub { lines(2) });

subtest 'both ends of a hand-over' => sub {
    my ($first, $gave) = lines(1);
    my ($took) = lines(2);
    my $file = $box->path('work-web-1') . '/history';

    is(scalar(lines(1)), 2, 'the first noted two');
    is("$first->{way} $gave->{way} $took->{way}", 'took gave took', 'each end');
    is((stat $file)[2] & 07777, 0644, 'for all to read, whatever the umask');
    is($first->{peer}, undef, 'at first the job came from nobody');
    is(in_order($first->{stamps}, qw(granted restored started)), 'in order', 'its start');
    is(in_order($gave->{stamps}, qw(told signalled dumped uploaded released)), 'in order', 'its end');
    is($took->{peer}, 'web-1', 'the second knows from whom');
    is(in_order($took->{stamps}, qw(told signalled dumped uploaded granted restored started)), 'in order',
        'and, from the record, when the first did its part');
    is($took->{stamps}{$_}, $gave->{stamps}{$_}, "$_ is the same at both ends") for qw(told signalled dumped uploaded);
    is($gave->{size}, 5, 'the size');
    ok($gave->{clean} && $took->{clean}, 'a clean dump');
    ok($took->{epoch} > $gave->{epoch}, 'epochs');
};

subtest 'lines' => sub {
    my @lines = split(/\n/, history(1));

    is(scalar(@lines), 2, 'one for each');
    like($lines[1], qr/^\d{4}-\d\d-\d\dT[0-9:.]+Z keeper gave epoch=\d+ size=5 clean=1 signal=\d+\.\d{6} dump=\d+\.\d{6} upload=\d+\.\d{6} commit=\d+\.\d{6} total=\d+\.\d{6}$/,
        'given up');
    like(scalar(history(2)), qr/ keeper took .* from=web-1 .* acquire=\S+ restore=\S+ start=\S+ total=/, 'taken');
    is(scalar(split(/\n/, history(1, '-n', 1))), 1, '-n');
    like(scalar(history(1, '-n', 1)), qr/ gave /, 'is the newest');
    is(scalar(split(/\n/, history(1, 'keeper'))), 2, 'of a job');
    for my $case ([ other => 'there are keeper' ], [ keper => 'did you mean keeper?' ]) {
        for my $json ([], ['--json']) {
            ($rc, $out, $err) = history(1, $case->[0], @{$json});
            is("$rc$out", '1', "$case->[0] is no job @{$json}");
            like($err, qr/there is no job "$case->[0]" in \Q$conf[0]\E, and no hand-over of one in .*: \Q$case->[1]\E$/, 'as it says');
        }
    }
    my $more = decode_json(slurp($conf[0]));
    $more->{jobs}{fresh} = $more->{jobs}{keeper};
    ($rc, $out, $err) = history(1, '-c', spew($box->path('more.json'), encode_json($more)), 'fresh');
    is("$rc$out", '0', 'of one that is there and was never handed over there is none');
    like($err, qr/no hand-over of fresh is known/, 'as it says');
    ($rc, $out, $err) = history(1, '-n', $_) and is($rc, 64, "-n $_ is no number") for 0, -1, 'x', '1x', '';
};

subtest 'on a terminal' => sub {
    plan skip_all => 'script(1) is not here' unless grep { -x "$_/script" } split(/:/, $ENV{PATH});
    my ($rc, $out) = $box->run('script', '-qec', $box->graceful . " history -c $conf[1]", '/dev/null');

    like($out, qr/WHEN +JOB +WAY +EPOCH +SIZE +SIGNAL +DUMP/, 'a table');
    like($out, qr/keeper +took +\d+ +5 B +\S+ms +\S+ms/, 'with times');
};

# Whatever a file says that others may have written to.
subtest 'clocks that disagree, and nonsense' => sub {
    my $file = $box->path('work-web-1') . '/history';
    my $odd = { way => 'took', job => 'keeper', instance => 'web-1', peer => 'web-9', epoch => 99, size => 1, clean => JSON::PP::true,
        stamps => { uploaded => 1_795_392_459_500_000, granted => 1_795_392_459_000_000, started => 1_795_392_459_002_000 } };

    spew($file, slurp($file) . encode_json($odd) . "\n\x1b[2Jrubbish\n{\"way\":");
    ($rc, $out, $err) = history(1, '-n', 1);
    like($out, qr/acquire=-0\.500000 start=0\.002000 total=-0\.498000/, 'a negative gap is shown as such');
    like($err, qr/skipped 2 lines that make no sense/, 'the rest is skipped');
    unlike("$out$err", qr/\x1b/, 'and does nothing to a terminal');
};

subtest 'a death leaves its trace in what follows' => sub {
    kill('KILL', $two->job('keeper')->{worker_pid});
    wait_for('the job to be taken up again', sub { grep { $_->{way} eq 'took' && $_->{peer} eq 'web-2' } lines(2) });
    my @lines = lines(2);

    is(join(' ', map { $_->{way} } @lines), 'took gave took', 'the rescue worker gave it up');
    ok(!$lines[1]{stamps}{told}, 'nobody was told');
    is(in_order($lines[1]{stamps}, qw(uploaded released)), 'in order', 'but it was committed');
    $two->signal('INT');
    is($two->wait_exit, 0, 'ended well');
};

subtest 'over etcd' => sub {
    plan skip_all => 'etcd is not installed' if !Graceful::Etcd->installed;
    my $etcd = Graceful::Etcd->start;
    @conf = map { $box->config("far-$_", $job, { coordinator => $etcd->coordinator }) } 1 .. 2;
    my @masters = map { $box->start($_) } $conf[0];

    $masters[0]->wait_state(keeper => 'running');
    push @masters, $box->start($conf[1]);
    $masters[1]->wait_state(keeper => 'standby');
    wait_for('the state to be committed', sub { $masters[0]->job('keeper')->{seq} });
    $masters[0]->signal('INT');
    is($masters[0]->wait_exit, 0, 'the first gives the job up');
    wait_for('the second to note it', sub { lines(2) });
    my ($took) = lines(2);
    is($took->{peer}, 'far-1', 'the second knows from whom');
    is(in_order($took->{stamps}, qw(told signalled dumped uploaded granted restored started)), 'in order', 'and when');
    $masters[1]->signal('INT');
    is($masters[1]->wait_exit, 0, 'ended well');
};

done_testing();
