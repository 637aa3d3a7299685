package Graceful::Deaths;

# One death at each named point (src/base/fault.h): whatever dies, no two copies of the job run, the next one starts from what the last
# one left, and nobody waits for a time-out: the lease is longer than the patience of these tests, but for processes that hang.
#
#   Graceful::Deaths::play('local');          # or 'etcd', 'short lease'; ONLY=PATTERN plays the rows that it fits
#   Graceful::Deaths::play_long_dumps();

use strict;
use warnings;

use File::Basename qw(basename);
use JSON::PP;
use Test::More;

use Graceful::Actor;
use Graceful::Etcd;
use Graceful::Test qw(slurp spew wait_for);

my %limits = (stop_timeout => '30s', hurry_timeout => '10s', checkpoint => '100ms', restart_min => '10ms', restart_max => '50ms');

# What leads to the point. The job runs already, except in "start". The next master waits for the lock, except in "start" and
# where nobody waits: there it is started afterwards.
my %ways = (
    'change, nobody waits' => sub { reload($_[0], { nice => 1 }) },
    'change' => sub { reload($_[0], { nice => 1 }) },
    'remove, nobody waits' => sub { reload($_[0]) },
    'checkpoint' => sub { kill('USR1', $_[1]) },
    'hand over' => sub { kill('INT', worker_of($_[0])) },
    'kill worker' => sub { kill('KILL', worker_of($_[0])) },
    'kill job' => sub { kill('KILL', $_[1]) },
    'kill job, hand over' => sub {
        my ($master, $job) = @_;

        kill('KILL', $job);
        $master->wait_log(qr/state SAVING -> BACKOFF/);
        kill('INT', worker_of($master));
    },
    'stop' => sub { $_[0]->signal('INT') },
);

# Where that needs another definition of the job.
my %needs = ('kill job, hand over' => { restart_min => '5m', restart_max => '5m' });

# Nobody commits the dump: it may have been backed up before.
my $whatever_was_backed_up = qr/(?:none 0|crash 1)/;

# fault, the way to it, what the next run of the job is told ("restored count"), the exit status of the master; and for
# whom: both coordinators, if not said; and what the first master's job is like.
my @table = (
    ['worker.after_join=kill', 'start', 'none 0', 0, 'etcd'],
    ['worker.after_grant=kill', 'start', 'none 0', 0],
    ['worker.before_restore=kill', 'start', 'none 0', 0],
    ['worker.in_restore=kill', 'start', 'none 0', 0],
    ['worker.after_restore=kill', 'start', 'none 0', 0],
    ['worker.before_spawn=kill', 'start', 'none 0', 0],
    ['worker.in_upload=kill', 'checkpoint', 'clean 1', 0],
    ['worker.after_upload=kill', 'checkpoint', 'clean 1', 0],
    ['worker.before_commit=kill', 'checkpoint', 'clean 1', 0],
    ['worker.after_commit=kill', 'checkpoint', 'clean 1', 0],
    ['worker.after_stop_signal=kill', 'hand over', 'clean 1', 0],
    ['worker.after_job_end=kill', 'hand over', 'clean 1', 0],
    ['worker.before_dump_backup=kill', 'hand over', 'clean 1', 0],
    ['worker.before_final_commit=kill', 'hand over', 'clean 1', 0],
    ['worker.after_release_before_ack=kill', 'hand over', 'clean 1', 0],
    ['worker.after_ack=kill', 'hand over', 'clean 1', 0],
    ['worker.before_release=kill', 'kill job, hand over', 'none 0', 0],
    ['worker.after_stop_signal=kill', 'stop', 'clean 1', 0],
    ['worker.after_job_end=kill', 'stop', 'clean 1', 0],
    ['worker.in_upload=kill', 'stop', 'clean 1', 0],
    ['worker.before_final_commit=kill', 'stop', 'clean 1', 0],
    ['worker.after_release_before_ack=kill', 'stop', 'clean 1', 0],
    ['worker.after_release_before_ack=kill', 'stop', 'none 0', 0, undef, 'nodump'],
    ['worker.after_release_before_ack=kill', 'stop', 'crash 1', 3, undef, 'exit=7'],
    ['worker.after_ack=kill', 'stop', 'clean 1', 0],
    ['worker.after_commit=stop', 'checkpoint', 'clean 1', 0, 'short lease'],
    ['worker.before_dump_backup=stop', 'hand over', 'clean 1', 0, 'short lease'],
    ['worker.before_dump_backup=block', 'stop', 'clean 1', 0, 'short lease'],
    ['worker.before_final_commit=stop', 'stop', 'clean 1', 0, 'short lease'],
    ['rescue.before_adopt=kill', 'kill worker', 'clean 1', 0],
    ['rescue.after_grant=kill', 'kill worker', 'clean 1', 0],
    ['rescue.before_final_commit=kill', 'kill worker', 'clean 1', 0],
    ['rescue.after_release_before_ack=kill', 'kill worker', 'clean 1', 0],
    ['rescue.after_ack=kill', 'kill worker', 'clean 1', 0],
    ['master.before_fork=kill', 'start', 'none 0', 137],
    ['master.after_fork=kill', 'start', 'none 0', 137],
    ['master.before_tell=kill', 'stop', 'clean 1', 137],
    ['master.after_tell=kill', 'stop', 'clean 1', 137],
    ['master.after_worker_end=kill', 'kill worker', $whatever_was_backed_up, 137, 'local'],
    ['master.before_rescue=kill', 'kill worker', $whatever_was_backed_up, 137, 'local'],
    ['master.before_rescue=kill', 'kill worker', $whatever_was_backed_up, 137, 'short lease'],
    ['master.before_orphans_signal=kill', 'kill worker', qr/(?:clean|crash) 1/, 137, undef, 'family'],
    ['master.before_exit=kill', 'stop', 'clean 1', 137],
    ['master.before_reload=kill', 'change, nobody waits', 'clean 1', 137],
    ['master.after_reload=kill', 'change, nobody waits', 'clean 1', 137],
    ['master.before_tell=kill', 'change, nobody waits', 'clean 1', 137],
    ['master.after_tell=kill', 'change', 'clean 1', 137],
    ['master.before_renew=kill', 'change, nobody waits', 'clean 1', 137],
    ['master.before_fork=kill::2', 'change, nobody waits', 'clean 1', 137],
    ['master.after_fork=kill::2', 'change, nobody waits', 'clean 1', 137],
    ['master.after_reload=kill', 'remove, nobody waits', 'clean 1', 137],
    ['master.before_forget=kill', 'remove, nobody waits', 'clean 1', 137],
    ['worker.after_stop_signal=kill', 'change, nobody waits', 'clean 1', 0],
    ['worker.before_final_commit=kill', 'change', 'clean 1', 0],
    ['worker.after_release_before_ack=kill', 'change, nobody waits', 'clean 1', 0],
    ['worker.after_ack=kill', 'change, nobody waits', 'clean 1', 0],
    ['worker.after_grant=kill::2', 'change, nobody waits', 'clean 1', 0],
    ['worker.in_restore=kill::2', 'change, nobody waits', 'clean 1', 0],
    ['worker.before_spawn=kill::2', 'change, nobody waits', 'crash 1', 0],    # who knows whether the job had started
    ['worker.in_standby=kill', 'change', 'clean 1', 0],
    ['worker.before_final_commit=kill', 'remove, nobody waits', 'clean 1', 0],
);

# Of the short one a rescue worker has 3 s to begin, when the one before it hung: a busy machine may need that.
my %ttls = ('etcd' => '300s', 'short lease' => '20s');
my $pattern = $ENV{ONLY} // '';    # of those to play
my $etcd;

sub coordinator {
    my ($kind) = @_;

    return if $kind eq 'local';
    $etcd //= Graceful::Etcd->start;
    return $etcd->coordinator(ttl => $ttls{$kind});
}

# A definition of the job that means something else, or none, and a HUP.
sub reload {
    my ($master, $changes) = @_;
    my $conf = decode_json(slurp($master->{conf}));

    if ($changes) {
        $conf->{jobs}{orders} = { %{ $conf->{jobs}{orders} }, %{$changes} };
    } else {
        $conf->{jobs} = {};
    }
    spew($master->{conf}, encode_json($conf));
    return $master->signal('HUP');
}

sub worker_of { return $_[0]->job('orders')->{worker_pid} }

# Its states are blobs, so that there is something to upload.
sub conf_of {
    my ($box, $actor, $instance, $coordinator, $needs, @words) = @_;

    return $box->config($instance, { orders => { command => $actor->command(@words), %limits, %{$needs} } }, {
        state => { url => 'file://' . $box->path('store'), inline_max => '0B' },
        namespace => '/graceful/' . basename($box->dir), $coordinator ? (coordinator => $coordinator) : (),
    });
}

sub is_ready {
    my ($master) = @_;

    return wait_for("$master->{instance} runs the job", sub { $master->job('orders')->{ready} });
}

# All that must hold of the journal of a job at the end.
sub account {
    my ($actor) = @_;
    my @epochs = map { /epoch=(\d+)/ } grep { /^start/ } $actor->lines;
    my %seen;

    is($actor->count(qr/^overlap/), 0, 'no two copies of the job ever ran');
    is_deeply(\@epochs, [ sort { $a <=> $b } @epochs ], 'epochs only rise');
    is((grep { $seen{$_}++ } @epochs), 0, 'and each owner has its own');
    is_deeply([ $actor->survivors ], [], 'nothing of the job is left');
    return;
}

# Plays a row up to the death.
sub begin_row {
    my ($kind, $fault, $way, @words) = @_;
    my ($point, $action) = $fault =~ /(\w+)=(\w+)/;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $coordinator = coordinator($kind);
    my $conf = conf_of($box, $actor, 'web-1', $coordinator, $needs{$way} // {}, @words);
    my $first = $box->start($conf, sub { $ENV{GRACEFUL_FAULT} = $fault });
    my ($next, $before) = (undef, 0);

    if ($way ne 'start') {
        is_ready($first);
        $before = $actor->count(qr/^start/);
    }
    if ($way !~ /start|nobody waits/) {
        $next = $box->start(conf_of($box, $actor, 'web-2', $coordinator, {}));
        $next->wait_log(qr/waits for the lock/);
    }
    $ways{$way}->($first, $actor->wait_start->{pid}) if $way ne 'start';
    $first->wait_log(qr/^fault: \Q$point\E: $action/m);
    $next //= $box->start(conf_of($box, $actor, 'web-2', $coordinator, {}));
    return { box => $box, actor => $actor, first => $first, next => $next, before => $before };
}

# What has to come of it.
sub end_row {
    my ($game, $way, $told, $status) = @_;
    my ($actor, $first, $next) = @{$game}{qw(actor first next)};

    is($first->wait_exit, $status, 'the master ended with it') if $status == 137;
    my $start = $actor->wait_start($game->{before} + 1);
    like("$start->{restored} $start->{count}", qr/^$told$/, 'the next run goes on from what the last one left');
    wait_for('somebody runs the job', sub { grep { $_->job('orders')->{ready} } $first, $next });
    # Or else how the last tenure ended might count as what came of the stop.
    $first->wait_state(orders => 'standby') if $way =~ /hand over/;
    $first->signal('INT') if $status != 137;
    is($first->wait_exit, $status, 'exit status of the first master');
    is_ready($next);
    $next->signal('INT');
    is($next->wait_exit, 0, 'and of the second');
    account($actor);
    return;
}

# A worker dies, and its job dumps for longer than the lease: the rescue worker keeps that, and if it dies or hangs, the next one
# does; if the master dies, too, it sees by itself when the job is gone.
my @long_dumps = (
    ['none', 'clean 1', 0],
    ['rescue.before_adopt=kill', 'clean 1', 0],
    ['rescue.after_grant=kill', 'clean 1', 0],
    ['rescue.after_grant=stop', 'clean 1', 0],
    ['rescue.before_final_commit=stop', 'clean 1', 0],
    ['rescue.after_grant=block', 'clean 1', 0],
    ['master.after_rescue=kill', 'crash 1', 137],
);

# Begins one, up to the death of the worker.
sub begin_long_dump {
    my ($fault) = @_;
    my $box = Graceful::Test->new;
    my $actor = Graceful::Actor->new($box, 'orders');
    my $lease = coordinator('short lease');
    local $limits{stop_timeout} = '10m';    # the games end one after the other
    my $first = $box->start(conf_of($box, $actor, 'web-1', $lease, {}, 'hold=' . $box->path('go')),
        sub { $ENV{GRACEFUL_FAULT} = $fault unless $fault eq 'none' });

    is_ready($first);
    my $next = $box->start(conf_of($box, $actor, 'web-2', $lease, {}));
    $next->wait_log(qr/waits for the lock/);
    my $since = time;
    $ways{'kill worker'}->($first);
    return { box => $box, actor => $actor, first => $first, next => $next, since => $since, fault => $fault };
}

sub end_long_dump {
    my ($game, $told, $status) = @_;
    my ($box, $actor, $first, $next, $fault) = @{$game}{qw(box actor first next fault)};
    my ($role, $point, $action) = split(/[.=]/, $fault);

    wait_for('the lease would have ended twice', sub { time > $game->{since} + 41 });
    is($actor->count(qr/^start/), 1, 'nobody else has started');
    is($actor->count(qr/^dumped/), 0, 'and the job still dumps');
    spew($box->path('go'), '');
    my $start = $actor->wait_start(2);
    is("$start->{restored} $start->{count} $start->{by}", "$told web-2", 'the next run goes on from the dump');
    like($first->log_text, qr/^fault: \Q$point\E: $action \Q$role\E /m, 'after what was to happen') if $fault ne 'none';
    $first->signal('INT') if $status == 0;
    is($first->wait_exit, $status, 'exit status of the first master');
    is_ready($next);
    $next->signal('INT');
    is($next->wait_exit, 0, 'and of the second');
    account($actor);
}

# Skips the test where that cannot be played.
sub need {
    my ($kind) = @_;

    plan(skip_all => 'no developer build: it has no fault points') unless Graceful::Test->has_faults;
    plan(skip_all => 'etcd is not installed') unless $kind eq 'local' || Graceful::Etcd->installed;
    return;
}

# All at a time, as they do little but wait.
sub play_long_dumps {
    my @rows = grep { "a dump longer than the lease: $_->[0]" =~ /$pattern/ } @long_dumps;
    my @games = map { eval { begin_long_dump($_->[0]) } // { trouble => $@ } } @rows;

    for my $i (0 .. $#rows) {
        my ($fault, $told, $status) = @{ $rows[$i] };
        my $game = $games[$i];

        subtest "a dump longer than the lease: $fault" => sub {
            eval { die $game->{trouble} if $game->{trouble}; end_long_dump($game, $told, $status); 1 } or fail($@);
        };
    }
    return;
}

# The rows for one kind of coordinator: one after the other, but those with a short lease at a time, as they do little but wait for its end.
sub play {
    my ($kind) = @_;
    my @rows = grep { ($_->{only} // ($kind eq 'short lease' ? '' : $kind)) eq $kind && $_->{name} =~ /$pattern/ } map {
        my ($fault, $way, $told, $status, $only, @words) = @{$_};
        { name => "$kind: $fault in: $way @words", only => $only, begin => [ $kind, $fault, $way, @words ], end => [ $way, $told, $status ] };
    } @table;
    my $begin = sub { my ($row) = @_; return eval { begin_row(@{ $row->{begin} }) } // { trouble => $@ } };

    if ($kind eq 'short lease') { $_->{game} = $begin->($_) for @rows }
    for my $row (@rows) {
        subtest $row->{name} => sub {
            my $game = delete $row->{game} // $begin->($row);
            eval { die $game->{trouble} if $game->{trouble}; end_row($game, @{ $row->{end} }); 1 } or fail($@);
        };
    }
    return;
}

1;
