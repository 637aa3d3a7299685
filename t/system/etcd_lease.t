#!/usr/bin/perl
# The lease cannot be renewed: for a moment, or for so long that the job has to end before somebody else may start it. And what becomes
# of the state that it dumped.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Actor;
use Graceful::Etcd;
use Graceful::Proxy;
use Graceful::Test qw(slurp spew wait_for);

plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

# Of them a fifth is there to stop the job; on a busy machine that must be enough for a dump, or for a log line.
use constant TTL => 10_000;

my $box = Graceful::Test->new;
my $etcd = Graceful::Etcd->start;

sub config {
    my ($instance, $actor, $words, %coordinator) = @_;
    my %job = (command => $actor->command(@$words), checkpoint => '1h', hurry_timeout => '100ms');

    return $box->config($instance, { $actor->{name} => \%job }, { coordinator => $etcd->coordinator(ttl => TTL / 1000 . 's', %coordinator) });
}

sub record { return $etcd->value("/graceful/jobs/$_[0]/state") }

sub stop {
    my ($master) = @_;

    $master->signal('INT');
    return $master->wait_exit;
}

# What must hold of a journal, however it came about.
sub check_journal {
    my ($actor) = @_;
    my @epochs = map { /epoch=(\d+)/ ? $1 : () } $actor->lines;

    is($actor->count(qr/^overlap/), 0, 'never two at once');
    is_deeply(\@epochs, [ sort { $a <=> $b } @epochs ], 'epochs only rise');
    is_deeply([ $actor->survivors ], [], 'no process of it is left');
    return;
}

subtest 'for a moment' => sub {
    my $actor = Graceful::Actor->new($box, 'moment');
    my $proxy = Graceful::Proxy->start($etcd->url(0), $box->path('moment.proxy'));
    my $master = $box->start(config('moment', $actor, [], endpoints => [ $proxy->url ], ttl => '30s'));

    my $before = $actor->wait_start(1);
    $proxy->pause;
    $master->wait_log(qr/the lease could not be renewed, trying on; the job may run for \d+ms without/);
    $proxy->resume;
    $master->wait_log(qr/the lease is renewed again/);
    unlike($master->log_text, qr/the lock is lost/, 'the lock is not lost');
    is($master->job('moment')->{job_pid}, $before->{pid}, 'the job has noticed nothing');
    is(stop($master), 0, 'it stops');
    check_journal($actor);
};

# A job of four processes in three sessions, none of which ends by itself.
sub gone_before_the_lease_ends {
    my ($name, $fail, $mend, $fault) = @_;
    my $actor = Graceful::Actor->new($box, $name);
    my $proxy = Graceful::Proxy->start($etcd->url(0), $box->path("$name.proxy"));
    my $master = $box->start(config($name, $actor, [ 'beat', 'family', 'hold=' . $box->path("$name.go") ], endpoints => [ $proxy->url ]),
        sub { $ENV{GRACEFUL_FAULT} = $fault if $fault });

    $actor->wait_start(1);
    wait_for('a renewal', sub { $proxy->last_answered('/v3/lease/keepalive') });
    $fail->();
    $master->wait_log(qr/the lock is lost, the job must be gone in \d{2,}ms|the worker hangs/, 'the loss is told in time to stop');
    $actor->wait_for_line(qr/^INT$/);
    wait_for('nothing of the job lives', sub { !$actor->survivors });
    my ($last_beat) = slurp("$actor->{journal}.beats") =~ /([\d.]+)\n\z/;
    my $lease_ends = $proxy->last_answered('/v3/lease/keepalive') + TTL;
    cmp_ok($last_beat, '<', $lease_ends, sprintf('it was gone %d ms before the lease could end', $lease_ends - $last_beat));
    like($master->log_text, $fault ? qr/worker was ended by SIGKILL/ : qr/killing every process of the job|the worker hangs/, 'by force');
    $mend->();
    $actor->wait_start(2);
    pass('it runs again by itself');
    spew($box->path("$name.go"), '');
    is(stop($master), 0, 'it stops');
    check_journal($actor);
    return;
}

subtest 'etcd is suspended' => sub {
    gone_before_the_lease_ends('suspended', sub { $etcd->pause(0) }, sub { $etcd->resume(0) });
};

subtest 'etcd is killed' => sub {
    gone_before_the_lease_ends('killed', sub { $etcd->kill_node(0) }, sub { $etcd->run_node(0) });
};

subtest 'etcd is suspended, and the worker dies after it has lost its lock' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
    gone_before_the_lease_ends('dead', sub { $etcd->pause(0) }, sub { $etcd->resume(0) }, 'worker.after_loss=kill');
};

subtest 'the worker dies while it tries to commit what was dumped' => sub {
    plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
    my $actor = Graceful::Actor->new($box, 'doubt');
    my $master = $box->start(config('doubt', $actor, []), sub { $ENV{GRACEFUL_FAULT} = 'worker.before_final_commit=kill' });

    $actor->wait_start(1);
    $etcd->kill_node(0);
    $master->wait_log(qr/state DUMPING -> DOUBTING/);
    $master->wait_log(qr/a rescue worker commits/, 'a rescue follows');
    $etcd->run_node(0);
    my $second = $actor->wait_start(2);
    is("$second->{restored} $second->{count}", 'clean 1', 'the job goes on from it');
    is(stop($master), 0, 'it stops');
    check_journal($actor);
};

# etcd gives every lease its whole time again when it starts: so the lock is still there.
subtest 'what was dumped meanwhile is committed when etcd is back' => sub {
    my $actor = Graceful::Actor->new($box, 'late');
    my $master = $box->start(config('late', $actor, []));
    my $first = $actor->wait_start(1);

    $etcd->kill_node(0);
    $actor->wait_for_line(qr/^dumped 1/);
    $etcd->run_node(0);
    my $second = $actor->wait_start(2);
    is("$second->{restored} $second->{count}", 'clean 1', 'the job goes on from it');
    cmp_ok($second->{epoch}, '>', $first->{epoch}, 'under an epoch of its own');
    like($master->log_text, qr/committed the state and released the lock epoch=$first->{epoch} .*clean=1/, 'it was committed under the old one');
    ok(!-e $box->path('work-late/jobs/.left-late'), 'there is no note of anything left');
    is(stop($master), 0, 'it stops');
    check_journal($actor);
};

# Starts a master that can be cut off.
sub start_behind_proxy {
    my ($name, $fault) = @_;
    my $actor = Graceful::Actor->new($box, $name);
    my $proxy = Graceful::Proxy->start($etcd->url(0), $box->path("$name.proxy"));
    my $master = $box->start(config($name, $actor, [], endpoints => [ $proxy->url ]), sub { $ENV{GRACEFUL_FAULT} = $fault if $fault });

    return { name => $name, actor => $actor, proxy => $proxy, master => $master };
}

# Waits until the key of one that was cut off is gone and its job has dumped.
sub wait_cut_off {
    my ($one) = @_;

    $one->{actor}->wait_for_line(qr/^dumped 1/);
    wait_for('its lease has ended', sub { !grep { $_ eq $one->{key} } $etcd->keys_below("/graceful/jobs/$one->{name}/lock/") });
    return;
}

# All are cut off at a time, as they do little but wait for the end of their leases.
my %point = (in => 'in_restore', after => 'after_restore');
my %one = map { $_ => start_behind_proxy($_, $point{$_} ? "worker.$point{$_}=kill::2" : undef) } qw(alone stale),
    Graceful::Test->has_faults ? keys %point : ();
$_->{actor}->wait_start(1) for values %one;
my $next = $box->start(config('fresh', $one{stale}{actor}, []));
$next->wait_state(stale => 'standby');
($_->{key}) = $etcd->keys_below("/graceful/jobs/$_->{name}/lock/") for values %one;
$_->{proxy}->pause for values %one;

subtest 'the lease has ended meanwhile, but nobody owned the job' => sub {
    my ($actor, $proxy, $master) = @{ $one{alone} }{qw(actor proxy master)};

    wait_cut_off($one{alone});
    is(record('alone'), '', 'nothing is committed');
    $proxy->resume;
    $master->wait_log(qr/could not be committed and stays there/);
    my $second = $actor->wait_start(2);
    is("$second->{restored} $second->{count}", 'clean 1', 'the job goes on from what it left');
    like($master->log_text, qr/nobody owned the job since/, 'as nobody owned it since');
    wait_for('which is committed', sub { record('alone') =~ /"seq":1\b/ });
    wait_for('the note of it is gone', sub { !-e $box->path('work-alone/jobs/.left-alone') });
    is(stop($master), 0, 'it stops');
    check_journal($actor);
};

# The next one of this machine is about to go on from it and dies, before or after it has written that down. Its job did not run.
for my $name (qw(in after)) {
    subtest "and the worker that would go on from it dies $point{$name}" => sub {
        plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
        my ($actor, $proxy, $master) = @{ $one{$name} }{qw(actor proxy master)};

        wait_cut_off($one{$name});
        $proxy->resume;
        my $second = $actor->wait_start(2);
        like($master->log_text, qr/worker was ended by SIGKILL/, 'it died');
        is("$second->{restored} $second->{count}", 'clean 1', 'the job goes on from what it left, all the same');
        is(stop($master), 0, 'it stops');
        check_journal($actor);
    };
}

subtest 'somebody else owned the job meanwhile' => sub {
    my ($actor, $proxy, $first) = @{ $one{stale} }{qw(actor proxy master)};

    wait_cut_off($one{stale});
    is($actor->wait_start(2)->{restored}, 'none', 'the next one knows nothing of what was dumped');
    is(stop($next), 0, 'it stops');
    my $committed = record('stale');
    $proxy->resume;
    $first->wait_log(qr/could not be committed and stays there/);
    my $third = $actor->wait_start(3);
    unlike($first->log_text, qr/nobody owned the job since/, 'the first one does not go on from what it left');
    is("$third->{restored} $third->{count}", 'clean 1', 'but from what was committed');
    like($committed, qr/"instance":"fresh"/, 'which is of the next one');
    is(stop($first), 0, 'it stops');
    ok(!-e $box->path('work-stale/jobs/.left-stale'), 'the note is gone');
    check_journal($actor);
};

is_deeply([ $etcd->keys_below_locks ], [], 'no place is left');
done_testing;
