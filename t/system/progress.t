#!/usr/bin/perl
# How far a large state has come on its way to the store and back, in the status and on the terminal of whoever waits.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Notify;
use Graceful::Test qw(spew wait_for);

plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;

use constant { SIZE => 3_000_000, CHUNK => 256 * 1024 };

my $box = Graceful::Test->new;
my $conf = $box->config('web-1', {
    orders => { command => $box->job('orders', '', 'head -c ' . SIZE . ' /dev/zero | dump'), checkpoint => 'infinity' } });

# A master in which the first copy of a state waits, after its first chunk, for the file $go. $init: the init system that listens.
sub start {
    my ($go, $init) = @_;

    return $box->start($conf, sub {
        $init->prepare if $init;
        $ENV{GRACEFUL_FAULT} = 'in_copy=block';
        $ENV{GRACEFUL_FAULT_GO} = $go;
    });
}

sub wait_moving {
    my ($master, $state) = @_;
    my $job = wait_for("a state that moves while $state", sub {
        my $now = $master->job('orders');
        return ($now->{state} // q()) eq $state && $now->{moved} ? $now : undef;
    });

    is("$job->{moved} $job->{to_move}", CHUNK . ' ' . SIZE, "$state: how far it is");
    return;
}

# The graceful command on a terminal: reads what it shows until $pattern.
sub watch {
    my ($pattern, @args) = @_;
    my $out = '';

    open(my $tty, '-|', 'script', '-qec', join(' ', 'TERM=xterm', $box->graceful, @args), '/dev/null') or die "script: $!\n";
    while ($out !~ $pattern && sysread($tty, $out, 4096, length($out))) { }
    return ($tty, $out);
}

subtest 'a dump on its way to the store' => sub {
    plan(skip_all => 'script(1) is not there') if system('script -V >/dev/null 2>&1') != 0;
    my $init = Graceful::Notify->new($box->path('init.sock'));
    my $master = start($box->path('go-1'), $init);

    $master->wait_state('orders', 'running');
    my ($tty, $out) = watch(qr/ [1-9]\d* % of 2\.8 MiB/, 'stop', '-c', $conf);
    like($out, qr/orders +\S*releasing\S* +\S+ +\[#-{19}\] +8 % of 2\.8 MiB/, 'a bar');
    wait_moving($master, 'releasing');
    $init->wait_for_line(qr/^STATUS=0 of 1 job dumped, orders: 8 %$/);
    pass('the init system hears of it, too');
    spew($box->path('go-1'), '');
    while (sysread($tty, $out, 4096, length($out))) { }
    close($tty);
    is($?, 0, 'the stop ends well');
    is($master->wait_exit, 0, 'so does the master');
    ok(!exists $master->status->{jobs}{orders}{to_move}, 'nothing moves any more');
};

subtest 'a state on its way back' => sub {
    my $master = start($box->path('go-2'));

    wait_moving($master, 'restoring');
    spew($box->path('go-2'), '');
    ok(!exists $master->wait_state('orders', 'running')->{to_move}, 'there it is');
    $master->signal('INT');
    is($master->wait_exit, 0, 'stopped, all is well');
};

done_testing();
