# What only the server can tell - a wrong password, no permission, TLS that does not fit, no server at all - is one clear line in the log,
# and in the status, for however many jobs; and one line says when it is over. Real etcd, with users and with TLS.

use strict;
use warnings;

use Test::More;

use Graceful::Etcd;
use Graceful::Proxy;
use Graceful::Test qw(birth_of spew still_run wait_for);

plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

my @jobs = map { "job$_" } 1 .. 8;

# A master of many jobs, all of which want the same coordinator.
sub master {
    my ($box, $instance, $coordinator, $more) = @_;
    my $command = $box->job("job-$instance", '');

    return $box->start($box->config($instance, { map { $_ => { command => $command } } @jobs },
        { coordinator => $coordinator, log => { to => 'stderr', level => 'info' }, %{ $more // {} } }));
}

sub stop {
    my ($master) = @_;

    $master->signal('INT');
    return $master->wait_exit;
}

# All of its jobs say so in the status.
sub wait_trouble {
    my ($master, $pattern) = @_;

    return eval { wait_for("$master->{instance}: every job has trouble $pattern", sub {
        die $master->log_text if $master->ended;
        my $told = $master->status->{jobs} // {};
        return !grep { ($told->{$_}{trouble} // '') !~ $pattern } @jobs;
    }) } // die $@ . join("\n", map { "$_: $master->{instance}: " . ($master->job($_)->{trouble} // 'none') } @jobs[0, 1]);
}

# Those lines of its log that tell of it.
sub complaints { return grep { /cannot get (the lock|their locks):/ } split(/\n/, $_[0]->log_text) }

sub one_complaint {
    my ($master, $pattern) = @_;
    my @said = complaints($master);
    my @first = grep { !/\d jobs cannot/ } @said;

    # Each kind of trouble has its own, and a busy etcd is silent before it refuses.
    cmp_ok(scalar(@first), '<=', 3, 'a line for all of them, not one for each') or diag(join("\n", @said));
    cmp_ok(@said - @first, '<=', 3, 'and a reminder now and then');
    ok(scalar(grep { $_ =~ $pattern } @said), 'which says what is wrong') or diag(join("\n", @said));
    unlike($master->log_text, qr/^\S+ (?!debug)\w+ +worker\[.*cannot get the lock/m, 'no worker says so by itself');
    return;
}

sub wait_running {
    my ($master) = @_;

    $master->wait_state($_ => 'running') for @jobs;
    wait_for('the status forgets it', sub { !defined $master->job('job1')->{trouble} });
    $master->wait_log(qr/can be had again, after /);
    # A busy etcd may be silent once more after its return: that begins with a line of its own, and ends with one.
    my $log = $master->log_text;
    my $begun = () = $log =~ /cannot get (?:the lock|their locks):/g;
    my $over = () = $log =~ /can be had again/g;
    cmp_ok($over, '<=', $begun, 'one line says that it is over') or diag($log);
    return;
}

subtest 'users' => sub {
    my $box = Graceful::Test->new;
    my $etcd = Graceful::Etcd->start(users => 1);
    my $coordinator = $etcd->coordinator(ttl => '300s');
    my $password = $box->path('password');

    chmod(0600, spew($password, "wrong\n"));
    my $master = master($box, 'password', { %{$coordinator}, password_file => $password });
    wait_trouble($master, qr/etcd refuses user "graceful": check coordinator.user and password_file/);
    one_complaint($master, qr/etcd refuses user "graceful"/);
    my (undef, $shown) = $box->run($box->graceful, 'status', '-c', $master->{conf});
    like($shown, qr/^job1 +standby .*cannot get the lock: etcd refuses user/m, 'graceful status tells it, too');
    spew($password, "secret\n");    # which is read again each time
    wait_running($master);
    ok($etcd->leases_become(scalar @jobs), 'no lease is there for nothing');
    is(stop($master), 0, 'it stops');

    $master = master($box, 'denied', $coordinator, { namespace => '/other' });
    wait_trouble($master, qr/permission denied.*grant the user readwrite on the namespace/);
    one_complaint($master, qr/permission denied/);
    $etcd->ctl('role', 'grant-permission', 'graceful', 'readwrite', '/other/', '/other0');
    wait_running($master);
    is(stop($master), 0, 'it stops');

    delete @{$coordinator}{qw(user password_file)};
    $master = master($box, 'nobody', $coordinator);
    wait_trouble($master, qr/set coordinator.user and password_file/);
    one_complaint($master, qr/user name is empty/);
    is(stop($master), 0, 'it stops in the middle of its trouble');
    ok($etcd->leases_become(0), 'no lease is left');
};

# Leases need no password, so nothing happens to jobs that run; what they save waits for the new one.
subtest 'the password is changed while a job runs' => sub {
    my $box = Graceful::Test->new;
    my $etcd = Graceful::Etcd->start(users => 1);
    my $command = $box->script('counts', <<'END');
trap 'exit 0' INT
while :; do echo $((++n)) >"$GRACEFUL_STATE.tmp" && mv "$GRACEFUL_STATE.tmp" "$GRACEFUL_STATE"; sleep 0.1 & wait; done
END
    my $password = $box->path('rotated');
    chmod(0600, spew($password, "secret\n"));
    my $master = $box->start($box->config('rotates', { counts => { command => [$command], checkpoint => '1s' } },
        { coordinator => { %{ $etcd->coordinator(ttl => '300s') }, password_file => $password } }));
    my $job = $master->wait_state(counts => 'running');
    wait_for('a backup', sub { ($master->job('counts')->{seq} // 0) > 1 });
    $etcd->ctl_input(spew($box->path('new'), "secret2\n"), 'user', 'passwd', 'graceful', '--interactive=false');
    $master->wait_log(qr/cannot save the state, the last good one stays .*etcd refuses user "graceful"/);
    my $before = $master->job('counts');
    spew($password, "secret2\n");
    wait_for('backups go on', sub { $master->job('counts')->{seq} > $before->{seq} });
    my $after = $master->job('counts');
    is_deeply([ @{$after}{qw(job_pid epoch state)} ], [ @{$before}{qw(job_pid epoch state)} ], 'the job was left alone');
    is(stop($master), 0, 'it stops');
    ok($etcd->leases_become(0), 'no lease is left');
};

subtest 'TLS' => sub {
    my $box = Graceful::Test->new;
    my $etcd = Graceful::Etcd->start(tls => 1);
    my $other = Graceful::Etcd->prepare(tls => 1);
    my $good = $etcd->coordinator;
    my %wrong = (
        'wrong-ca' => [ { ca_file => $other->path('ca.pem') }, qr/certificate.*check coordinator.ca_file/ ],
        'wrong-cert' => [ { map { $_ => $other->coordinator->{$_} } qw(cert_file key_file) }, qr/check coordinator.ca_file, cert_file/ ],
        'plain' => [ { endpoints => [ map { s/^https/http/r } @{ $good->{endpoints} } ], map { $_ => undef } qw(ca_file cert_file key_file) },
            qr{does it want https://\?} ],
        'no-cert' => [ { map { $_ => undef } qw(cert_file key_file) }, qr/cert_file/ ],
    );

    for my $name (sort keys %wrong) {
        my ($change, $pattern) = @{ $wrong{$name} };
        my %coordinator = (%{$good}, %{$change});

        delete @coordinator{ grep { !defined $coordinator{$_} } keys %coordinator };
        my $master = master($box, $name, \%coordinator);
        wait_trouble($master, $pattern);
        one_complaint($master, $pattern);
        is(stop($master), 0, "it stops ($name)");
    }
    my $master = master($box, 'right', $good);
    $master->wait_state($_ => 'running') for @jobs;
    is(stop($master), 0, 'with everything right the jobs run');
};

# Long before the first attempt is given up, which takes ten seconds.
subtest 'no etcd at the start' => sub {
    my $box = Graceful::Test->new;
    my $etcd = Graceful::Etcd->prepare;
    my $master = master($box, 'early', $etcd->coordinator, { log => { to => 'stderr', level => 'debug' } });

    wait_trouble($master, qr/:\d+.*(refused|connect)/i);
    one_complaint($master, qr/cannot get the lock: http.*; does etcd run there/);
    like($master->log_text, qr/worker\[\d+\] +job\d: no place in the queue can be had or kept, trying on/, 'by attempts that go on');
    my (undef, $shown) = $box->run($box->graceful, 'status', '-c', $master->{conf});
    like($shown, qr/^job1 +standby .*cannot get the lock: http/m, 'graceful status tells it, too');
    my $other = master($box, 'never', $etcd->coordinator);
    wait_trouble($other, qr/:\d+.*(refused|connect)/i);
    is(stop($other), 0, 'one that is stopped meanwhile holds nothing');
    unlike($other->log_text, qr/can be had again/, 'and does not call the trouble over');
    $etcd->run_node(0);
    wait_running($master);
    is(stop($master), 0, 'it stops');
};

subtest 'etcd is killed and comes back' => sub {
    my $box = Graceful::Test->new;
    my $etcd = Graceful::Etcd->start;
    my $master = master($box, 'outage', $etcd->coordinator(ttl => '10s'));

    $master->wait_state($_ => 'running') for @jobs;
    $etcd->kill_node(0);
    wait_trouble($master, qr/./);
    one_complaint($master, qr/Connection refused|connect to|no answer/i);
    # It hears of the end of its workers, some of which may have ended by now, before it has read what they said last.
    $master->signal('STOP');
    my %births = map { $_ => birth_of($_) } grep { defined } map { $master->job($_)->{worker_pid} } @jobs;
    $etcd->run_node(0);
    wait_for('the workers have ended', sub { !still_run(%births) });
    $master->signal('CONT');
    wait_running($master);
    is(stop($master), 0, 'it stops');
};

subtest 'etcd hangs while jobs wait' => sub {
    my $box = Graceful::Test->new;
    my $etcd = Graceful::Etcd->start;
    my $owner = master($box, 'owns', $etcd->coordinator(ttl => '300s'));

    $owner->wait_state($_ => 'running') for @jobs;
    my $master = master($box, 'waits', $etcd->coordinator(ttl => '10s'));
    wait_for('all of its jobs wait', sub { (() = $master->log_text =~ /waits for the lock/g) >= @jobs });
    $etcd->pause(0);
    wait_trouble($master, qr/no answer/);
    one_complaint($master, qr/no answer/);
    $etcd->resume(0);
    $master->wait_log(qr/can be had again, after /);
    wait_for('the status forgets it', sub { !defined $master->job('job1')->{trouble} });
    is(stop($master), 0, 'the one that waits stops');
    is(stop($owner), 0, 'and the owner');
    ok($etcd->leases_become(0), 'no lease of the owner is left');
};

# Who waits holds a lease that etcd may keep for as long as it likes, and what etcd does not take back is left to it.
subtest 'those that wait are stopped while etcd takes nothing back' => sub {
    my $box = Graceful::Test->new;
    my $etcd = Graceful::Etcd->start(users => 1);
    my $password = $box->path('rotated');
    chmod(0600, spew($password, "secret\n"));
    my $command = $box->job('quick', 'echo 1 | dump', 'echo 2 | dump');
    my $start = sub {
        my ($name, %coordinator) = @_;
        return $box->start($box->config($name, { orders => { command => $command, stop_timeout => '2s', hurry_timeout => '1s' } },
            { coordinator => $etcd->coordinator(ttl => '300s', %coordinator) }));
    };
    my $owner = $start->('owns');
    $owner->wait_state(orders => 'running');
    my %waiters = (hung => $start->('hung'), map { $_ => $start->($_, password_file => $password) } qw(refused drained));

    $_->wait_log(qr/waits for the lock/) for values %waiters;
    $etcd->ctl_input(spew($box->path('new'), "secret2\n"), 'user', 'passwd', 'graceful', '--interactive=false');
    is(stop($waiters{refused}), 4, 'by one that is refused: its place is left to its lease');
    like($waiters{refused}->log_text, qr/cannot give the place in the queue back: etcd refuses user/, 'the log says why');
    my ($status, undef, $err) = $box->run($box->graceful, 'drain', '--run-dir', $waiters{drained}{run_dir});
    is($status, 4, 'a drain says so, too');
    like($err, qr/drained \(pid \d+ holds no job\), but a lock could not be released; it ends by itself after its TTL, see/, 'in words');
    ok($waiters{drained}->job('orders')->{left}, 'and in the status');
    is(stop($waiters{drained}), 0, 'what was left before is no part of a stop');
    $etcd->pause(0);
    $_->signal('INT') for $waiters{hung}, $owner;
    is($waiters{hung}->wait_exit, 4, 'by one that hangs, likewise');
    is($owner->wait_exit, 4, 'and the owner');
    $etcd->resume(0);
};

# What became of the lock, or of the place, nobody could say. So nothing may say that it is well.
sub check_doubt {
    my ($master, $closing) = @_;

    is(stop($master), 4, 'exit status');
    like($master->log_text, $closing, 'the last line counts no lock as released');
    unlike($master->log_text, qr/can be had again/, 'nor does one say that locks can be had');
    return;
}

subtest 'stopped in doubt' => sub {
    my $box = Graceful::Test->new;
    my $etcd = Graceful::Etcd->start;
    my $command = $box->job('quick', 'echo 1 | dump', 'echo 2 | dump');
    my $start = sub {
        my ($name, $ttl, %coordinator) = @_;
        return $box->start($box->config($name, { orders => { command => $command, stop_timeout => '2s', hurry_timeout => '1s' } },
            { coordinator => $etcd->coordinator(ttl => $ttl, %coordinator) }));
    };
    my $owner = $start->('doubts', '10s');
    $owner->wait_state(orders => 'running');
    $etcd->pause(0);
    $owner->wait_log(qr/state DUMPING -> DOUBTING/);
    check_doubt($owner, qr/locks_released=0 unclean=1 left=1/);
    $etcd->resume(0);

    # This one has slept beyond its lease, and nobody can be asked when it wakes up.
    my $proxy = Graceful::Proxy->start($etcd->url(0), $box->path('proxy'));
    my $sleeper = $start->('sleeps', '15s', endpoints => [ $proxy->url ]);
    $sleeper->wait_state(orders => 'running');
    my @pids = ($sleeper->pid, $sleeper->job('orders')->{worker_pid});
    kill('STOP', $_) for @pids;
    $proxy->pause;
    wait_for('its lease has ended', sub { !$etcd->keys_below('/graceful/jobs/orders/lock/') });
    kill('CONT', $pids[1]);
    $sleeper->wait_log(qr/the lock is lost, the job must be gone in 0ms/);
    kill('CONT', $pids[0]);
    check_doubt($sleeper, qr/locks_released=0 unclean=1 left=1/);

    my $other = $start->('owns', '300s');
    $other->wait_state(orders => 'running');
    my $waiter = $start->('waits', '6s');
    $waiter->wait_log(qr/waits for the lock/);
    $etcd->pause(0);
    wait_for('it is in trouble', sub { ($waiter->job('orders')->{trouble} // '') =~ /no answer/ });
    check_doubt($waiter, qr/locks_released=0 unclean=0 left=1/);
    unlike($waiter->log_text, qr/the lock is lost/, 'it had none to lose');
    $etcd->resume(0);
    is(stop($other), 0, 'an owner that gets its answers stops in order');
};

done_testing;
