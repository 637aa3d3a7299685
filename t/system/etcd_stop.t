#!/usr/bin/perl
# etcd stops answering (SIGSTOP) with a job in each phase of its life, and then the master is stopped. Its leases are so long that they
# decide nothing: the stop ends by its own times, keeps the dump, and says why the lock was left. When etcd is back in time, nothing has
# happened.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Etcd;
use Graceful::Test qw(slurp spew wait_for);

plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

my $etcd = Graceful::Etcd->start;
my $games = 0;

# A master of one job, in the phase that $reach leads to.
sub game {
    my ($name, $reach, %job) = @_;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my %orders = (command => $actor->command('early', 'hold=' . $box->path('go')), checkpoint => '100ms', restart_min => '5m', restart_max => '5m', %job);
    my %more = (coordinator => $etcd->coordinator(ttl => '5m'), namespace => '/graceful/' . ++$games);
    my $game = { name => $name, box => $box, actor => $actor };

    if ($name eq 'standby') {
        $game->{owner} = $box->start($box->config('web-0', { orders => \%orders }, \%more));
        $game->{owner}->wait_ready('orders');
    }
    my $master = $game->{master} = $box->start($box->config('web-1', { orders => \%orders }, \%more));
    $reach->($game, $master);
    return $game;
}

sub runs {
    my ($game, $master) = @_;

    return wait_for('a backup of the job', sub { $master->job('orders')->{ready} && $master->job('orders')->{seq} });
}

sub waits_for_its_restart {
    my ($game, $master) = @_;

    runs(@_);
    kill('KILL', $master->job('orders')->{job_pid});
    return $master->wait_log(qr/state SAVING -> BACKOFF/);
}

sub waits_for_the_lock { return $_[1]->wait_log(qr/waits for the lock/) }

# Told to stop while etcd answered, and it dumps.
sub dumps {
    my ($game, $master) = @_;

    runs(@_);
    $master->signal('INT');
    return $game->{actor}->wait_for_line(qr/^INT$/);
}

my @phases = ([ 'running', \&runs ], [ 'backoff', \&waits_for_its_restart ], [ 'standby', \&waits_for_the_lock ], [ 'dumping', \&dumps ]);

sub strike {
    my (@all) = @_;

    $etcd->pause(0);
    for my $game (@all) {
        $game->{master}->signal('INT') if $game->{name} ne 'dumping';
        spew($game->{box}->path('go'), '');
    }
    return;
}

sub end {
    my ($game) = @_;

    $game->{owner}->signal('INT') if $game->{owner};
    is($game->{owner}->wait_exit, 0, "$game->{name}: the other master stops in order") if $game->{owner};
    is($game->{actor}->count(qr/^overlap/), 0, "$game->{name}: no two copies ran");
    is_deeply([ $game->{actor}->survivors ], [], "$game->{name}: nothing of the job is left");
    return;
}

subtest 'for good' => sub {
    my @games = map { game(@{$_}, stop_timeout => '10s', hurry_timeout => '1s') } @phases;

    strike(@games);
    for my $game (@games) {
        my ($name, $master) = @{$game}{qw(name master)};
        my $what = $name eq 'standby' ? 'the place in the queue' : 'the lock';

        is($master->wait_exit, 4, "$name: exit status");
        like($master->log_text, qr/^\S+ error worker.* (?:has not answered in time: \Q$what\E is left to its end|cannot (?:release \Q$what\E|give \Q$what\E back): )/m,
            "$name: the log says why");
        like($master->log_text, qr/ locks_released=0 unclean=\d left=1 /, "$name: and the last line what came of it");
        is(slurp("$master->{work_dir}/jobs/orders/state"), "1\n", "$name: the dump is kept") if $name =~ /running|dumping/;
    }
    $etcd->resume(0);
    end($_) for @games;
};

subtest 'for a moment' => sub {
    my @games = map { game(@{$_}, stop_timeout => '2m') } @phases;

    strike(@games);
    $_->{master}->wait_log(qr/state (?:\w+) -> RELEASING/) for @games;
    ok(!$_->{master}->ended, "$_->{name}: it waits") for @games;
    $etcd->resume(0);
    for my $game (@games) {
        my $locks = $game->{name} eq 'standby' ? 0 : 1;

        is($game->{master}->wait_exit, 0, "$game->{name}: exit status");
        like($game->{master}->log_text, qr/ locks_released=$locks unclean=0 left=0 /, "$game->{name}: all is in order");
    }
    end($_) for @games;
};

done_testing;
