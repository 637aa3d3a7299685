# graceful status --cluster: every job of the namespace, asked of the coordinator, with no master needed. Local, and a real etcd.

use strict;
use warnings;

use JSON::PP;
use POSIX qw(WNOHANG);
use Test::More;

use Graceful::Etcd;
use Graceful::Test qw(wait_for);

sub job { return { command => $_[0]->job($_[1], 'echo 12345 | dump', 'echo 123456 | dump'), checkpoint => '1h' } }

# What the command prints: status, stdout, stderr.
sub cluster {
    my ($box, $conf, @words) = @_;

    return $box->run('timeout', '-k', '1', '120', $box->graceful, 'status', '--cluster', '-c', $conf, '--timeout', '40', @words);
}

sub view {
    my ($box, $conf) = @_;
    my ($status, $out, $err) = cluster($box, $conf, '--json');

    is($status, 0, 'status --cluster --json') or diag($err);
    return decode_json($out);
}

sub row {
    my ($text, $job) = @_;
    my ($line) = $text =~ /^($job .*)$/m;

    return $line // '';
}

# The same story with either coordinator.
sub tell_story {
    my ($box, $more) = @_;
    my %jobs = map { $_ => job($box, $_) } qw(clicks orders);
    my $conf = $box->config('web-1', \%jobs, $more);
    my $view = view($box, $conf);

    is_deeply($view->{jobs}, {}, 'nothing is there before the first master');
    my $one = $box->start($conf);
    $one->wait_state($_ => 'running') for keys %jobs;
    my @two = map { $box->start($box->config("web-$_", { orders => $jobs{orders} }, $more)) } 2, 3;
    wait_for('both wait', sub { 2 == grep { defined $_->{instance} } @{ view($box, $conf)->{jobs}{orders}{waiting} } });

    $view = view($box, $conf);
    is_deeply([ sort keys %{ $view->{jobs} } ], [ 'clicks', 'orders' ], 'every job is there');
    is($view->{namespace}, '/graceful', 'and the namespace');
    my $orders = $view->{jobs}{orders};
    is($orders->{owner}{instance}, 'web-1', 'its owner');
    is($orders->{owner}{epoch}, $one->job('orders')->{epoch}, 'the epoch');
    like($orders->{owner}{pid}, qr/^\d+$/, 'the pid');
    cmp_ok(abs($orders->{owner}{since} - time), '<', 3600, 'since when');
    cmp_ok($orders->{waiting}[0]{epoch}, '<', $orders->{waiting}[1]{epoch}, 'who waits, in order');
    is_deeply([ sort map { $_->{instance} } @{ $orders->{waiting} } ], [ 'web-2', 'web-3' ], 'and their names');
    is($view->{jobs}{clicks}{waiting_count}, 0, 'nobody waits for the other one');

    my (undef, $text) = cluster($box, $conf);
    like($text, qr/^2 jobs: 2 owned, 0 free; 2 waiting$/m, 'the same for people');
    like(row($text, 'orders'), qr/web-1 .*web-[23], web-[23]$/, 'in a row');

    $_->signal('INT') for @two;
    $_->wait_exit for @two;
    $one->signal('INT');
    is($one->wait_exit, 0, 'the master stops');
    $view = view($box, $conf);
    is($view->{jobs}{orders}{owner}, undef, 'nobody owns it any more');
    is_deeply([ @{ $view->{jobs}{orders}{state} }{qw(size clean instance)} ], [ 7, JSON::PP::true, 'web-1' ], 'but its state is there');
    cmp_ok(abs($view->{jobs}{orders}{state}{time} - time), '<', 3600, 'with its age');
    (undef, $text) = cluster($box, $conf);
    like(row($text, 'clicks'), qr/^clicks +- .* 7 B .* web-1 +clean/, 'for people, too');
    return $conf;
}

subtest 'local' => sub {
    my $box = Graceful::Test->new;
    like((cluster($box, $box->config('web-1', {})))[2], qr/local is not there: no master has used it yet, or it was moved/, 'one that is missing is told');
    my $conf = tell_story($box, {});
    rename($box->path('local'), $box->path('elsewhere')) or die "rename: $!";
    like((cluster($box, $conf))[2], qr/local is not there: /, 'also when it was moved away');
    rename($box->path('elsewhere'), $box->path('local')) or die "rename: $!";
    is((cluster($box, $conf))[2], '', 'and not when it is back');
    is_deeply([ glob($box->path('local/graceful/jobs/*/waiting-*')) ], [], 'no note of one that waited is left');

    Graceful::Test::spew($box->path('local/graceful/jobs/orders/state'), "{\"seq\":\e[2J");
    like(view($box, $conf)->{jobs}{orders}{damage}, qr/cannot use state record/, 'a damaged record is told');
    my (undef, $text) = cluster($box, $conf);
    like(row($text, 'orders'), qr/DAMAGED/, 'for people, too');
    is((cluster($box, '/nonexistent'))[0], 78, 'without a configuration there is nothing to ask');
    is((cluster($box, $conf, '--watch'))[0], 64, 'it cannot be watched');
};

SKIP: {
    skip('etcd is not installed', 5) unless Graceful::Etcd->installed;
    my $box = Graceful::Test->new;
    my $etcd = Graceful::Etcd->start(users => 1);
    my $more = { coordinator => $etcd->coordinator };
    my $conf;

    subtest 'etcd' => sub { $conf = tell_story($box, $more) };

    subtest 'what others put there' => sub {
        my $lock = '/graceful/jobs/clicks/lock';

        $etcd->ctl('put', "$lock/1234", '');
        $etcd->ctl('put', "$lock/1235", qq({"instance":"e\\u001b[2Jvil","host":"h","pid":1,"since":1}));
        $etcd->ctl('put', '/graceful/jobs/orders/state', 'no record');
        $etcd->ctl('put', '/graceful/jobs/bad name/state', 'x');
        $etcd->ctl('put', '/graceful/jobs/noslash', 'x');
        my $view = view($box, $conf);
        is_deeply([ sort keys %{ $view->{jobs} } ], [ 'clicks', 'orders' ], 'keys that are no job\'s are passed over');
        ok($view->{jobs}{clicks}{owner}{foreign}, 'a lock of another program is shown as such');
        like($view->{jobs}{orders}{damage}, qr/bad state record/, 'a damaged record, too');
        my (undef, $text) = cluster($box, $conf);
        like(row($text, 'clicks'), qr/\(not graceful\).*\(not graceful\)$/, 'for people, too');
        unlike($text, qr/[\e\x00-\x09]/, 'nothing drives the terminal');
    };

    subtest 'etcdctl lock' => sub {
        my $lock = '/graceful/jobs/orders/lock';
        my $pid = $etcd->background('lock', $lock);

        my $owner = wait_for('etcdctl has the lock', sub { view($box, $conf)->{jobs}{orders}{owner} });
        ok($owner->{foreign}, 'it is shown as no worker');
        like($owner->{lease}, qr/^[0-9a-f]+$/, 'with its lease');
        is($owner->{instance}, undef, 'and nothing is made up');
        my (undef, $text) = cluster($box, $conf);
        like(row($text, 'orders'), qr/^orders +\(not graceful\) +- +- +\d+ +- /, 'for people, too');
        kill('INT', $pid);
        waitpid($pid, 0);
        wait_for('its lock is gone', sub { !view($box, $conf)->{jobs}{orders}{owner} });
    };

    subtest 'many jobs, and no server' => sub {
        # Pages of the list end somewhere in the middle of a job's keys.
        my $puts = join('', map { my $i = sprintf('%04d', $_); map { "put /graceful/jobs/many$i/$_ x\n" } qw(lock/a lock/b owner) } 1 .. 700);
        my $batch = $box->path('batch');
        my @lines = split(/\n/, $puts);
        while (my @some = splice(@lines, 0, 100)) {
            Graceful::Test::spew($batch, "\n" . join("\n", @some) . "\n\n\n");
            $etcd->ctl_input($batch, 'txn');
        }
        my $view = view($box, $conf);
        is(scalar(keys %{ $view->{jobs} }), 702, 'all of them are there');
        is(scalar(grep { /^many/ && $view->{jobs}{$_}{waiting_count} != 1 } keys %{ $view->{jobs} }), 0, 'none is cut in two');
        $etcd->pause(0);
        my ($status, $out, $err) = cluster($box, $conf, '--json', '--timeout', '1');
        is($status, 1, 'a server that does not answer does not hang it');
        like($err, qr/cannot ask the coordinator: .*(no answer within|given no token)/, 'and it says so');
        is($out, '', 'and nothing else');
        $etcd->resume(0);
    };

    # Whoever began first and was given more time is still at it when the other one has given up.
    subtest 'a slow server' => sub {
        $etcd->pause(0);
        my $patient = $box->begin('timeout', '-k', '1', '300', $box->graceful, 'status', '--cluster', '-c', $conf, '--timeout', '280');
        is((cluster($box, $conf, '--timeout', '1'))[0], 1, 'with little time it cannot be asked');
        is(waitpid($patient->{pid}, WNOHANG), 0, 'with more it is asked on');
        $etcd->resume(0);
        my ($status, $out) = $box->finish($patient);
        is($status, 0, 'and answers in the end');
        like($out, qr/^orders /m, 'with what there is');
        is((cluster($box, $conf, '--timeout', '0'))[0], 64, 'no time at all is a mistake');
        is(($box->run($box->graceful, 'status', '-c', $conf, '--timeout', '9'))[0], 64, 'and so is one that nobody needs');
    };
}

done_testing;
