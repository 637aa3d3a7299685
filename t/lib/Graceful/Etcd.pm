package Graceful::Etcd;

# A real etcd for a test: one node or three, on free ports of the loopback, with data directories of their own, and gone when the
# test is.
#
#   plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;
#   my $etcd = Graceful::Etcd->start(nodes => 3);
#   my $conf = $box->config('web-1', $jobs, { coordinator => $etcd->coordinator(ttl => '5s') });
#   $etcd->pause($etcd->leader);
#   $etcd->resume($_) for $etcd->nodes;
#
# Options of start(): nodes (1), tls (0: with 1, clients need the certificate, too), users (0: with 1, the user "graceful" may use the
# keys below /graceful, and root everything), network (a function that is given the cluster before its nodes start). Nodes are numbered from 0.

use strict;
use warnings;

use Fcntl qw(F_SETLK F_WRLCK O_CREAT O_RDWR SEEK_SET);
use File::Path qw(remove_tree);
use File::Spec;
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Scalar::Util qw(weaken);

use Graceful::Test qw(wait_for slurp spew);

my @clusters;    # weak: each ends with its last user, at the latest with the test

sub installed {
    return scalar(grep { -x "$_/etcd" } split(/:/, $ENV{PATH})) && scalar(grep { -x "$_/etcdctl" } split(/:/, $ENV{PATH}));
}

my ($ports, $port);

# A struct flock, as Linux has it on machines of 64 bits.
sub lock_of_port { return pack('s s x4 q q l x4', F_WRLCK, SEEK_SET, $_[0], 1, 0) }

# Ports that nobody listens on, and that are this process's as long as it lives: a node that was killed has to find its own free when it
# comes back. So they are none of those that the kernel gives to whoever asks for any, and tests that run beside each other lock theirs
# (t/lib/etcd_test.h does the same).
sub free_ports {
    my ($n) = @_;
    my @free;

    if (!$ports) {
        my $path = File::Spec->tmpdir . "/graceful-test-ports-$>";
        sysopen($ports, $path, O_RDWR | O_CREAT, 0600) or die "$path: $!\n";
        $port = $$ * 97;
    }
    for (1 .. 22_000) {
        my $next = 10_000 + $port++ % 22_000;
        next if !fcntl($ports, F_SETLK, lock_of_port($next));
        push @free, $next if IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:$next");
        return @free if @free == $n;
    }
    die "no free ports\n";
}

sub start {
    my ($class, %options) = @_;

    for (1 .. 5) {
        my $self = $class->prepare(%options);
        $options{network}->($self) if $options{network};
        $self->run_node($_) for $self->nodes;
        if ($self->wait_healthy) {
            $self->switch_users_on if $options{users};
            return $self;
        }
        $self->clean_up;
    }
    die "etcd does not start\n";
}

sub prepare {
    my ($class, %options) = @_;
    my $n = $options{nodes} // 1;
    my @ports = free_ports(2 * $n);
    my $self = bless({
        dir => tempdir('graceful-etcd-XXXXXX', TMPDIR => 1), owner => $$, tls => $options{tls}, ctl => [],
        nodes => [ map { { port => $ports[2 * $_], peer_port => $ports[2 * $_ + 1] } } 0 .. $n - 1 ],
    }, $class);

    weaken($clusters[@clusters] = $self);
    $self->make_certificates if $self->{tls};
    return $self;
}

# A CA, and one certificate that serves etcd and its clients. It has no common name: with users on, etcd's gateway refuses clients
# that have one.
sub make_certificates {
    my ($self) = @_;
    my $new = 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2';

    system(<<"END") == 0 or die "cannot make certificates\n";
cd '$self->{dir}' && exec 2>openssl.log &&
$new -keyout ca.key -out ca.pem -subj /O=graceful-test-ca &&
$new -keyout key.pem -out cert.pem -subj /O=graceful-test -CA ca.pem -CAkey ca.key \\
    -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE
END
    $self->{ctl} = [ '--cacert', $self->path('ca.pem'), '--cert', $self->path('cert.pem'), '--key', $self->path('key.pem') ];
    return;
}

sub switch_users_on {
    my ($self) = @_;

    $self->ctl(split) for split(/\n/, <<'END');
user add root:root
user grant-role root root
user add graceful:secret
role add graceful
role grant-permission graceful readwrite /graceful/ /graceful0
user grant-role graceful graceful
auth enable
END
    push @{ $self->{ctl} }, '--user', 'root:root';
    chmod(0600, spew($self->path('password'), "secret\n"));
    $self->{users} = 1;
    return;
}

sub path { my ($self, $name) = @_; return "$self->{dir}/$name" }
sub nodes { return 0 .. $#{ $_[0]{nodes} } }
sub pid { my ($self, $i) = @_; return $self->{nodes}[$i]{pid} }
sub log_text { my ($self, $i) = @_; return slurp($self->path("n$i.log")) }

sub url {
    my ($self, $i) = @_;

    return ($self->{tls} ? 'https' : 'http') . "://127.0.0.1:$self->{nodes}[$i]{port}";
}

sub endpoints {
    my ($self) = @_;

    return map { $self->url($_) } $self->nodes;
}

# The section "coordinator" of a configuration; %more: other keys of it.
sub coordinator {
    my ($self, %more) = @_;
    my %tls = (ca_file => 'ca.pem', cert_file => 'cert.pem', key_file => 'key.pem');

    return {
        type => 'etcd', endpoints => [ $self->endpoints ],
        ($self->{tls} ? map { $_ => $self->path($tls{$_}) } keys %tls : ()),
        ($self->{users} ? (user => 'graceful', password_file => $self->path('password')) : ()),
        %more,
    };
}

# Starts node $i, also one that was killed.
sub run_node {
    my ($self, $i) = @_;
    my $client = $self->url($i);
    # The others reach it there; a chaos runner puts a network in between.
    my @peers = map { 'http://127.0.0.1:' . ($_->{peer_front} // $_->{peer_port}) } @{ $self->{nodes} };
    my $listen = "http://127.0.0.1:$self->{nodes}[$i]{peer_port}";
    my @tls = $self->{tls}
        ? ('--cert-file', $self->path('cert.pem'), '--key-file', $self->path('key.pem'),
            '--trusted-ca-file', $self->path('ca.pem'), '--client-cert-auth')
        : ();
    my $pid = fork() // die "cannot fork: $!\n";

    if ($pid == 0) {
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>>', $self->path("n$i.log"));
        open(STDERR, '>&', \*STDOUT);
        # The cost of a password by default is a tenth of a second of a free CPU; on a busy one no token comes in time.
        exec('etcd', '--logger', 'zap', '--bcrypt-cost', 4, '--name', "n$i", '--data-dir', $self->path("n$i"), '--listen-client-urls', $client,
            '--advertise-client-urls', $client, '--listen-peer-urls', $listen, '--initial-advertise-peer-urls', $peers[$i],
            '--initial-cluster', join(',', map { "n$_=$peers[$_]" } $self->nodes), @tls) or POSIX::_exit(127);
    }
    $self->{nodes}[$i]{pid} = $pid;
    return;
}

# The nodes that should answer: etcdctl waits for seconds for one that does not.
sub live_nodes {
    my ($self) = @_;

    return grep { $self->{nodes}[$_]{pid} && !$self->{nodes}[$_]{paused} } $self->nodes;
}

# Runs etcdctl; returns its exit status and its output.
sub try_ctl {
    my ($self, @words) = @_;
    # Its own patience, of five seconds, is not enough on a busy machine; but a node that is not up yet is asked again instead.
    my @patience = $words[0] eq 'endpoint' ? () : ('--command-timeout', '20s');

    return $self->run_ctl([ $self->live_nodes ], @patience, @words);
}

# The same at some nodes alone.
sub run_ctl {
    my ($self, $nodes, @words) = @_;
    my $endpoints = join(',', map { $self->url($_) } @{$nodes});
    my @command = ('timeout', '-k', '1', '30', 'etcdctl', '--endpoints', $endpoints, @{ $self->{ctl} }, @words);
    my $pid = open(my $out, '-|') // die "cannot fork: $!\n";

    if ($pid == 0) {
        $ENV{ETCDCTL_API} = 3;
        open(STDERR, '>&', \*STDOUT);
        exec(@command) or POSIX::_exit(127);
    }
    local $/;
    my $said = <$out>;
    local $?;
    close($out);
    return ($? >> 8, $said // '');
}

# As ctl(), for a command that may be repeated: whoever of the nodes takes it, within two minutes.
sub ctl_somewhere {
    my ($self, @words) = @_;
    my $said = '';

    return $said if eval { wait_for("etcdctl @words", sub {
        my $status = 1;
        for my $i ($self->live_nodes) {
            ($status, $said) = $self->run_ctl([$i], '--command-timeout', '5s', @words);
            last if $status == 0;
        }
        return $status == 0;
    }, 120) };
    die "etcdctl @words: $said\n" . $self->diagnosis;
}

# How its nodes are, for whoever has to find out why it does not answer.
sub diagnosis {
    my ($self) = @_;

    return join('', map {
        my $node = $self->{nodes}[$_];
        my $is = !$node->{pid} ? 'is not running' : $node->{paused} ? 'is suspended' : ($self->run_ctl([$_], 'endpoint', 'status'))[1];
        my @log = split(/\n/, $self->log_text($_));
        splice(@log, 0, -10) if @log > 10;
        "n$_: $is\n" . join('', map { "    $_\n" } @log);
    } $self->nodes);
}

# Starts etcdctl and returns its pid, for the caller to end and to reap.
sub background {
    my ($self, @words) = @_;
    my $pid = fork() // die "cannot fork: $!\n";

    if ($pid == 0) {
        $ENV{ETCDCTL_API} = 3;
        open(STDOUT, '>', '/dev/null');
        exec('etcdctl', '--endpoints', join(',', $self->endpoints), @{ $self->{ctl} }, @words) or POSIX::_exit(127);
    }
    return $pid;
}

# As ctl(), with a file as standard input.
sub ctl_input {
    my ($self, $file, @words) = @_;

    open(my $kept, '<&', \*STDIN) or die "cannot keep stdin: $!\n";
    open(STDIN, '<', $file) or die "cannot read $file: $!\n";
    my ($status, $said) = $self->try_ctl(@words);
    open(STDIN, '<&', $kept) or die "cannot take stdin back: $!\n";
    die "etcdctl @words: $said\n" if $status != 0;
    return $said;
}

# The same; dies when it fails.
sub ctl {
    my ($self, @words) = @_;
    my ($status, $said) = $self->try_ctl(@words);

    die "etcdctl @words: $said\n" if $status != 0;
    return $said;
}

# The value of a key, '' if it is not there.
sub value {
    my ($self, $key) = @_;

    return $self->ctl('get', '--print-value-only', $key) =~ s/\n\z//r;
}

# The keys below a prefix, the oldest first.
sub keys_below {
    my ($self, $prefix) = @_;
    my @order = ('--sort-by', 'CREATE', '--order', 'ASCEND');

    return grep { $_ ne '' } split(/\n/, $self->ctl('get', '--prefix', '--keys-only', @order, $prefix));
}

# Those of all who own a job or wait for one.
sub keys_below_locks {
    my ($self) = @_;

    return grep { m{/lock/} } $self->keys_below('/graceful/jobs/');
}

sub leases {
    my ($self) = @_;

    return grep { /^[0-9a-f]+$/ } split(/\n/, $self->ctl('lease', 'list'));
}

# Waits until there are just $n. A lease that is given back to a busy etcd may go after its worker, which does not wait for that for
# long. That says something only of leases that last for longer than this waits: 300s.
sub leases_become {
    my ($self, $n) = @_;
    my @left;

    return 1 if eval { wait_for("$n leases", sub { @left = $self->leases; @left == $n }) };
    die "not $n leases, but: @left\n";
}

# Returns when the lease of a job's owner was renewed once more.
sub wait_renewed {
    my ($self, $job) = @_;
    my ($lease) = map { m{/\Q$job\E/lock/([0-9a-f]+)\z} } $self->keys_below_locks;
    my $before;

    return wait_for("$job: the lease is renewed", sub {
        my (undef, $said) = $self->try_ctl('lease', 'timetolive', $lease);
        my ($left) = $said =~ /remaining\((-?\d+)s\)/ or return;
        my $renewed = defined $before && $left > $before;

        $before = $left;
        return $renewed;
    });
}

# False when a node has ended instead, as it does when somebody else has its port.
sub wait_healthy {
    my ($self) = @_;

    return wait_for('a healthy etcd', sub {
        return 1 if ($self->try_ctl('endpoint', 'health'))[0] == 0;
        return (grep { $self->has_died($_) } $self->nodes) ? -1 : 0;
    }) > 0;
}

sub has_died {
    my ($self, $i) = @_;
    my $node = $self->{nodes}[$i];

    local $?;
    delete $node->{pid} if $node->{pid} && waitpid($node->{pid}, WNOHANG) == $node->{pid};
    return !$node->{pid};
}

# The node that leads.
sub leader {
    my ($self) = @_;
    my ($found) = wait_for('a leader of etcd', sub {
        my (undef, $said) = $self->try_ctl('endpoint', 'status');
        # endpoint, id, version, size, is leader, is learner, ...
        my ($url) = $said =~ /^([^,\n]+), [^,\n]+, [^,\n]+, [^,\n]+, true,/m or return;
        return [ grep { $self->url($_) eq $url } $self->nodes ];
    });

    return $found->[0];
}

# All members follow one leader in one term: none comes back with an election.
sub wait_agreed {
    my ($self) = @_;
    return wait_for('all members to follow one leader', sub {
        my (undef, $said) = $self->try_ctl('endpoint', 'status');
        # endpoint, id, version, size, is leader, is learner, raft term, ...
        my @members = map { [ split(/, /) ] } grep { /, / } split(/\n/, $said);
        return if @members != @{ $self->{nodes} } || grep { $_->[6] ne $members[0][6] } @members;
        return 1 == grep { $_->[4] eq 'true' } @members;
    });
}

# SIGSTOP; returns when all threads of the node have stopped.
sub pause {
    my ($self, $i) = @_;

    $self->steady($i);
    kill('STOP', $self->pid($i));
    $self->{nodes}[$i]{paused} = 1;
    local $?;
    waitpid($self->pid($i), WUNTRACED);
    return;
}

sub resume {
    my ($self, $i) = @_;

    kill('CONT', $self->pid($i)) if $self->pid($i);
    delete $self->{nodes}[$i]{paused};
    return;
}

# Of a leader: returns when it follows another one. Until it hears of that it still leads, for all it knows, and gives back every
# lease whose end it has slept through - also those that were renewed at its successor meanwhile. Who owned a job by one has lost it.
sub resume_leader {
    my ($self, $i) = @_;

    $self->resume($i);
    wait_for('one leader for all', sub {
        my (undef, $said) = $self->try_ctl('endpoint', 'status');
        # endpoint, id, version, size, is leader, is learner, term, ...
        my @told = $said =~ /^http[^,\n]+, [^,\n]+, [^,\n]+, [^,\n]+, (true|false), \w+, (\d+),/mg;
        my %terms = reverse @told;
        return @told == 2 * $self->live_nodes && keys %terms == 1 && (grep { $_ eq 'true' } @told) == 1;
    });
    return;
}

# As with a disk that is slow to sync: it answers nothing for most of the time, and then all at once; but often enough to stay a member.
# (etcd is Go and calls the kernel itself, so no library can slow down its fdatasync().) A process of its own does it until steady().
sub stutter {
    my ($self, $i) = @_;
    my $node = $self->{nodes}[$i];
    my ($parent, $pid) = ($$, $node->{pid});

    $self->steady($i);
    $node->{stutter} = fork() // die "cannot fork: $!\n";
    return if $node->{stutter} != 0;
    $SIG{INT} = 'IGNORE';
    while (getppid() == $parent && slurp("/proc/$pid/comm") eq "etcd\n") {
        kill('STOP', $pid);
        select(undef, undef, undef, 0.25);
        kill('CONT', $pid);
        select(undef, undef, undef, 0.08);
    }
    POSIX::_exit(0);
}

sub steady {
    my ($self, $i) = @_;
    my $node = $self->{nodes}[$i];
    my $pid = delete $node->{stutter} // return;

    local $?;
    kill('KILL', $pid);
    waitpid($pid, 0);
    kill('CONT', $node->{pid}) if $node->{pid} && !$node->{paused};
    return;
}

# Without warning, as when the machine died; with 'TERM', as when it is shut down.
sub kill_node {
    my ($self, $i, $signal) = @_;

    $self->steady($i);
    my $pid = delete $self->{nodes}[$i]{pid} // return;
    delete $self->{nodes}[$i]{paused};
    kill($signal // 'KILL', $pid);
    kill('CONT', $pid);
    local $?;
    waitpid($pid, 0);
    return;
}

# Also of a node that still runs.
sub restart {
    my ($self, $i) = @_;

    $self->kill_node($i, 'TERM');
    $self->run_node($i);
    return;
}

END {
    $_->clean_up for grep { defined } @clusters;
}

sub DESTROY { return $_[0]->clean_up }

sub clean_up {
    my ($self) = @_;

    return if $self->{owner} != $$;
    local ($?, $@, $!);
    $self->kill_node($_) for $self->nodes;
    remove_tree($self->{dir}) unless $ENV{GRACEFUL_TEST_KEEP};
    return;
}

1;
