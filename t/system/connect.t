# graceful check --connect: asks the coordinator for real, says what is wrong with which endpoint, and leaves nothing behind. Real etcd.

use strict;
use warnings;

use IO::Socket::INET;
use Test::More;

use Graceful::Etcd;
use Graceful::Test qw(spew);

my $box = Graceful::Test->new;
my $n = 0;

# Checks a configuration with this coordinator; its status, stdout and stderr. A server that lives may be slow where the machine is
# busy; for one that does not answer nobody waits so long.
our $patience = 40;

sub begin_check {
    my ($coordinator, $more) = @_;
    my $conf = $box->config('check' . ++$n, { map { $_ => { command => ['/bin/true'] } } qw(orders clicks) },
        { coordinator => $coordinator, %{ $more // {} } });

    return $box->begin('timeout', '-k', '1', '120', $box->graceful, 'check', '--connect', '--timeout', $patience, '-c', $conf);
}

sub check { return $box->finish(begin_check(@_)) }

# Several at a time, as those that fail may take all of their patience; what each of them said.
sub check_together {
    my @begun = map { begin_check($_) } @_;

    return map { [ $box->finish($_) ] } @begun;
}

sub wrong {
    my ($what, $expected, $pattern, @said) = @_;
    my ($status, $out, $err) = @said;

    is($status, $expected, "$what: status $expected");
    like($err, $pattern, 'and it says why') or diag($out);
    unlike($out, qr/coordinator is fine/, 'not that all is fine');
    return $out;
}

subtest 'local' => sub {
    my ($status, $out, $err) = check({ type => 'local', path => $box->path('local') });

    is($status, 0, 'a directory that is not there yet') or diag($err);
    like($out, qr/note +.*is not there yet; the first master makes it/, 'is no mistake');
    ok(!-e $box->path('local'), 'and is not made');
    mkdir($box->path('local'));
    ($status, $out) = check({ type => 'local', path => $box->path('local') });
    is($status, 0, 'one that is there');
    like($out, qr/can be locked and synced/, 'is tried');
    is(join(' ', glob($box->path('local/*'))), '', 'without a trace');
    system('mkdir', '-p', $box->path('local/graceful/jobs/orders'));
    spew($box->path('local/graceful/jobs/orders/state'), 'x');
    wrong('a damaged record', 78, qr/cannot use state record .*orders.state/, check({ type => 'local', path => $box->path('local') }));
    unlink($box->path('local/graceful/jobs/orders/state'));
};

subtest 'a state that is too large already' => sub {
    my $work = $box->path('large');

    system('mkdir', '-p', "$work/jobs/orders");
    spew("$work/jobs/orders/state", 'x' x 300_000);
    my ($status, undef, $err) = check({ type => 'local', path => $box->path('local') }, { state => { inline_max => '256KiB' }, work_dir => $work });
    is($status, 78, 'without a store is told');
    like($err, qr/jobs\.orders: its state .* has 292\.9 KiB, and more than 256\.0 KiB cannot be saved: set state\.url/, 'and what helps');
    ($status) = check({ type => 'local', path => $box->path('local') }, { work_dir => $work });
    is($status, 0, 'with one it is fine');
};

if (!Graceful::Etcd->installed) {
    done_testing;
    exit;
}

subtest 'users and permissions' => sub {
    my $etcd = Graceful::Etcd->start(users => 1);
    my $good = $etcd->coordinator(ttl => '300s');
    my ($before) = $etcd->ctl('endpoint', 'status', '-w', 'json') =~ /"revision":(\d+)/;
    my ($status, $out, $err) = check($good);

    is($status, 0, 'all is well') or diag($err);
    like($out, qr{^http://127.0.0.1:\d+ +3\.\d+\.\d+ +yes +ok$}m, 'the endpoint, its version, and that it has a leader');
    like($out, qr/^coordinator.user +ok +etcd accepts user "graceful"$/m, 'the user');
    like($out, qr{^namespace +ok +keys below /graceful/jobs/ may be read and written$}m, 'its permissions');
    like($out, qr/^coordinator.ttl +ok +leases are granted for 300s/m, 'leases');
    my ($after) = $etcd->ctl('endpoint', 'status', '-w', 'json') =~ /"revision":(\d+)/;
    is($after, $before, 'no key was written for that');
    ok($etcd->leases_become(0), 'and no lease is left');

    ($status, $out) = check({ %{$good}, ttl => '2s' });
    is($status, 0, 'a short lease');
    $out = wrong('a wrong password', 78, qr/coordinator.user: etcd refuses user "graceful": check coordinator.user and password_file/,
        check({ %{$good}, password_file => do { my $f = spew($box->path('pw'), "wrong\n"); chmod(0600, $f); $box->path('pw') } }));
    like($out, qr/^http.* yes +ok$/m, 'the endpoint is fine all the same');
    my %nobody = %{$good};
    delete @nobody{qw(user password_file)};
    wrong('no user', 78, qr/set coordinator.user and password_file/, check(\%nobody));
    wrong('a foreign namespace', 78, qr{namespace: user "graceful" may not read below /other/jobs/\w+/: etcdctl role grant-permission},
        check($good, { namespace => '/other' }));
    $etcd->ctl(split(/ /, 'role grant-permission graceful read /other/ /other0'));
    wrong('one to read', 78, qr{may not write below /other/jobs/}, check($good, { namespace => '/other' }));
    $etcd->ctl(split(/ /, 'role revoke-permission graceful /other/ /other0'));
    $etcd->ctl(split(/ /, 'role grant-permission graceful readwrite /other/jobs/orders/ /other/jobs/orders0'));
    wrong('one job of two', 78, qr{may not read below /other/jobs/clicks/}, check($good, { namespace => '/other' }));
    $etcd->ctl(split(/ /, 'role grant-permission graceful readwrite /other/jobs/clicks/ /other/jobs/clicks0'));
    is((check($good, { namespace => '/other' }))[0], 0, 'no more than the jobs need');
};

subtest 'TLS' => sub {
    my $etcd = Graceful::Etcd->start(tls => 1);
    my $other = Graceful::Etcd->prepare(tls => 1);
    my $good = $etcd->coordinator;
    my @cert = qw(cert_file key_file);
    my %without = %{$good};

    is((check($good))[0], 0, 'all is well');
    local $patience = 10;    # a handshake that fails is tried again for twice as long
    delete @without{@cert};
    my $plain = Graceful::Etcd->start;
    my @cases = (
        [ 'the wrong CA', qr/certificate.*check coordinator.ca_file/, { %{$good}, ca_file => $other->path('ca.pem') } ],
        [ 'the wrong certificate', qr/check coordinator.ca_file, cert_file/, { %{$good}, map { $_ => $other->coordinator->{$_} } @cert } ],
        [ 'no certificate', qr/check coordinator.ca_file, cert_file/, \%without ],
        [ 'plain HTTP', qr{it speaks TLS: write https://}, { type => 'etcd', endpoints => [ map { s/^https/http/r } $etcd->endpoints ] } ],
        [ 'TLS to a server without', qr/that the server speaks TLS/, { %{$good}, endpoints => [ map { s/^http/https/r } $plain->endpoints ] } ],
    );
    my @said = check_together(map { $_->[2] } @cases);
    wrong($cases[$_][0], 78, $cases[$_][1], @{ $said[$_] }) for 0 .. $#cases;
};

subtest 'no way there' => sub {
    local $patience = 10;
    my ($port) = Graceful::Etcd::free_ports(1);
    my @cases = (
        [ "http://127.0.0.1:$port", qr/Connection refused; does etcd run there, and listen at that address\?$/m ],
        [ 'http://etcd.invalid:2379', qr/is the name in coordinator\.endpoints right, and known here\?$/m ],
    );
    my @said = check_together(map { +{ type => 'etcd', endpoints => [ $_->[0] ] } } @cases);

    for my $i (0 .. $#cases) {
        my ($url, $what) = @{ $cases[$i] };
        wrong($url, 1, qr/coordinator\.endpoints: \Q$url\E.*/, @{ $said[$i] });
        like($said[$i][2], $what, 'and what to look at');
    }
};

subtest 'several endpoints' => sub {
    my $etcd = Graceful::Etcd->start(nodes => 3);
    my @urls = $etcd->endpoints;
    my $mute = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1') or die;
    my $mute_url = 'http://127.0.0.1:' . $mute->sockport;

    is((check($etcd->coordinator))[0], 0, 'all is well');
    local $patience = 20;
    my $single = Graceful::Etcd->start;
    my ($peer) = map { "http://127.0.0.1:$_->{peer_port}" } $single->{nodes}[0];
    my ($silent, $foreign, $odd) = check_together(map { +{ type => 'etcd', endpoints => $_ } } [ $mute_url, @urls ], [ @urls, $single->endpoints ], [$peer]);
    my $out = wrong('one that accepts and never answers', 1,
        qr/coordinator.endpoints: \Q$mute_url\E.*no answer within .*; is it suspended, overloaded, or behind a firewall\?/, @{$silent});
    is(scalar(() = $out =~ / yes +ok$/mg), 3, 'the others are told to be fine');
    like($out, qr/^coordinator.ttl +ok/m, 'and the rest is tried there');
    wrong('one of another cluster', 78, qr/it belongs to another cluster than the endpoints before it/, @{$foreign});
    wrong('one that is not etcd\'s', 78, qr/this is not etcd 3.4 or later with its HTTP gateway/, @{$odd});
    $etcd->kill_node($_) for 0, 1;
    $patience = 10;
    $out = wrong('no majority', 1, qr/lost the majority of the members|no leader/, check($etcd->coordinator));
    like($out, qr/^\Q$urls[2]\E +\S+ +NO +FAILED/m, 'the one that is left is shown without a leader');
    is(scalar(() = $out =~ / - +- +FAILED/g), 2, 'and the dead ones');
};

done_testing;
