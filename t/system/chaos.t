#!/usr/bin/perl
# Stops and deaths at moments that nobody chose. SEED repeats a run, ROUNDS makes it longer.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Test qw(slurp wait_for);

my $seed = $ENV{SEED} // time() ^ $$;
my $rounds = $ENV{ROUNDS} // 12;
srand($seed);
note("SEED=$seed");

my %limits = (stop_timeout => 'infinity', hurry_timeout => '100ms', checkpoint => '100ms', restart_min => '10ms',
    restart_max => '50ms');

sub conf_of {
    my ($box, $actor, $instance, @words) = @_;

    return $box->config($instance, { orders => { command => $actor->command(@words), %limits } });
}

sub pause { return select(undef, undef, undef, rand($_[0])) }

# What must hold of a journal, however it came about.
sub check_journal {
    my ($actor) = @_;
    my @starts = map { {/(\w+)=(\S+)/g} } grep { /^start / } $actor->lines;
    my @epochs = map { $_->{epoch} } @starts;

    my $fine = is_deeply([$actor->survivors], [], 'no process of the job is left');

    $fine &= is($actor->count(qr/^overlap/), 0, 'no two copies of it ever ran');
    $fine &= is_deeply(\@epochs, [sort { $a <=> $b } @epochs], 'epochs only rise');
    return $fine;
}

# A stop before the master is up is the end of a process like any other.
my $too_early = qr/^(?:130|131|143)$/;

subtest 'a stop at any moment after the start' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $conf = conf_of($box, $actor, 'web-1', 'family');

    for my $round (1 .. $rounds) {
        my $master = $box->start($conf);
        my $signal = (qw(INT TERM QUIT))[rand(3)];

        pause(rand(1) < 0.5 ? 0.02 : 0.1);
        $master->signal($signal);
        my $status = $master->wait_exit;
        ok($status == 0 || $status == 3 || $status =~ $too_early, "$signal: status $status")
            or diag("SEED=$seed\n" . $master->log_text);
    }
    check_journal($actor) or diag("SEED=$seed");
};

# Whatever happened, the job runs at one of them before long, unless all have ended.
sub is_running {
    my (@masters) = @_;

    return wait_for('the job runs', sub {
        my @live = grep { !$_->ended } @masters;
        return !@live || grep { $_->job('orders')->{ready} } @live;
    });
}

# Sends a signal and waits until the master says $key in its status, or has other worries. Another signal at once could be
# heard before it; and before the master is up it would be lost, or stop the process.
sub ask {
    my ($master, $signal, $key) = @_;

    wait_for("$master->{instance} is up", sub { $master->ended || ($master->status->{pid} // 0) == $master->pid });
    $master->signal($signal);
    return wait_for("$master->{instance} heard of $signal", sub {
        return $master->ended || $master->status->{stopping} || exists $master->status->{$key};
    });
}

# Every way in which a master or a worker may be told to go, or may go. $_[2] writes another configuration for it.
my %blows = (
    'hand over' => sub { kill('INT', $_[1]) if $_[1] },
    'kill the job' => sub { kill('QUIT', $_[1]) if $_[1] },
    'kill the worker' => sub { kill('KILL', $_[1]) if $_[1] },
    'kill the master' => sub { $_[0]->signal('KILL') },
    'kill both' => sub { kill('KILL', $_[0]->pid, $_[1] // ()) },
    'change' => sub { $_[2]->(nice => int(rand(3))); $_[0]->signal('HUP') },
    'change and kill the worker' => sub {
        $_[2]->(nice => int(rand(3)));
        $_[0]->signal('HUP');
        pause(0.02);
        kill('KILL', $_[1]) if $_[1];
    },
    'remove and add' => sub {
        $_[2]->();
        $_[0]->signal('HUP');
        pause(0.05);
        $_[2]->(nice => 0);
        $_[0]->signal('HUP');
    },
    'drain and resume' => sub { ask($_[0], 'WINCH', 'draining'); pause(0.05); $_[0]->signal('HUP') },
    'one fewer, one more' => sub { ask($_[0], 'TTOU', 'max_jobs'); pause(0.05); $_[0]->signal('TTIN') },
    'stop' => sub { $_[0]->signal('INT') },
    'stop in a hurry' => sub { $_[0]->signal('INT'); pause(0.01); $_[0]->signal('INT') },
);

subtest 'three masters, and blows at random' => sub {
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my %words = map { $_ => ['early', /2/ ? 'family' : ()] } qw(web-1 web-2 web-3);
    my %confs = map { $_ => conf_of($box, $actor, $_, @{ $words{$_} }) } keys %words;
    my %masters = map { $_ => $box->start($confs{$_}) } sort keys %confs;
    my @history;

    for my $round (1 .. 2 * $rounds) {
        my $name = (sort keys %masters)[rand(3)];
        my $blow = (sort keys %blows)[rand(keys %blows)];

        push @history, "$name: $blow";
        $blows{$blow}->($masters{$name}, $masters{$name}->job('orders')->{worker_pid}, sub {
            my (%keys) = @_;
            my %orders = (command => $actor->command(@{ $words{$name} }), %limits, %keys);
            return $box->config($name, { %keys ? (orders => \%orders) : () });
        });
        pause(0.1);
        is_running(values %masters) if rand(1) < 0.5;
        for my $ended (grep { $masters{$_}->ended } sort keys %masters) {
            $masters{$ended} = $box->start($confs{$ended});
        }
    }
    is_running(values %masters);
    # One that was just told to stop may end by itself.
    $_->signal('INT') for grep { !$_->ended } values %masters;
    like($_->wait_exit, qr/^(?:[03]|130|137)$/, "$_->{instance} ends") for values %masters;
    # What masters that were killed left drains by itself.
    wait_for('the job is gone', sub { !$actor->survivors });
    check_journal($actor) or diag(join("\n", "SEED=$seed", @history));
};

done_testing;
