package Graceful::Chaos::Cluster;

# What chaos happens to: three etcd nodes, machines - a master each, with a network of its own to etcd - and jobs that count events.
#
#   my $cluster = Graceful::Chaos::Cluster->new(n_jobs => 6, n_machines => 3, ttl => 10, faults => 'developer fault rules');
#   $cluster->start;          # etcd and the events
#   $cluster->start_master($_) for $cluster->machines;
#   $cluster->feed;
#   $cluster->$fault(...)
#
# Further options: n_nodes (3); checkpoint (of the jobs, 300ms); held (1: dumps last until the file go() exists); proxied (the name of a
# machine that has a Graceful::Proxy between itself and the first node).
#
# All of a "machine" is found by the session of its masters, in which their workers stay, and by the environment of its jobs.

use strict;
use warnings;

use JSON::PP;
use POSIX qw(setsid);
use Time::HiRes qw(clock_gettime);

use Graceful::Chaos::Pulse;
use Graceful::Chaos::Wire;
use Graceful::Chaos::Witness;
use Graceful::Etcd;
use Graceful::Proxy;
use Graceful::Record qw(state_in);
use Graceful::Test qw(alive birth_of children_of slurp source_dir wait_for);

use constant CLOCK_BOOTTIME => 7;
use constant EVENTS_A_SECOND => 40;

# Each job has its own way of being difficult.
my @tempers = ([], ['dump=0.3'], ['pad=60000'], ['family'], ['dump=2'], [ 'pad=300000', 'dump=0.2' ], ['pad=5000', 'family'], []);

sub new {
    my ($class, %with) = @_;

    return bless({
        n_nodes => 3, checkpoint => '300ms', %with, box => Graceful::Test->new, fed => 0, sessions => {}, masters => {}, logs => {},
        names => [ map { "m$_" } 1 .. $with{n_machines} ], job_names => [ map { "j$_" } 1 .. $with{n_jobs} ],
    }, $class);
}

sub start {
    my ($self) = @_;

    mkdir($self->{box}->path($_)) for qw(journals events store);
    $self->mount_store;
    $self->{pulse} = Graceful::Chaos::Pulse->start($self->{box}->path('pulse'));
    $self->{etcd} = Graceful::Etcd->start(nodes => $self->{n_nodes}, network => sub { $self->lay_wire($_[0]) });
    $self->{witness} = Graceful::Chaos::Witness->start($self->{etcd}, $self->{box}->path('witness'));
    $self->note_node($_) for $self->{etcd}->nodes;
    $self->lay_proxy($self->{proxied}) if $self->{proxied};
    $self->{fed_from} = now();
    $self->feed;
    return;
}

sub now { return clock_gettime(CLOCK_BOOTTIME) }
sub machines { return @{ $_[0]{names} } }
sub jobs { return @{ $_[0]{job_names} } }
sub nodes { return $_[0]{etcd}->nodes }
sub etcd { return $_[0]{etcd} }
sub wire { return $_[0]{wire} }
sub proxy { return $_[0]{proxy} }
sub pulse { return $_[0]{pulse} }
sub witness { return $_[0]{witness} }
sub go { return $_[0]{box}->path('go') }
sub box { return $_[0]{box} }
sub master { my ($self, $name) = @_; return $self->{masters}{$name} }
sub log_text { my ($self, $name) = @_; return slurp($self->{box}->path("$name.log")) }

# A small file system, so that it can be filled; where that is not permitted, disks are never full.
sub mount_store {
    my ($self) = @_;
    my $store = $self->{box}->path('store');

    $self->{mounted} = system("mount -t tmpfs -o size=12m chaos '$store' 2>/dev/null") == 0 ? $store : undef;
    return;
}

sub lay_wire {
    my ($self, $etcd) = @_;
    my @machines = $self->machines;
    my @nodes = @{ $etcd->{nodes} };
    my @ports = Graceful::Etcd::free_ports((@machines + 1) * @nodes);
    my @routes;

    for my $i (0 .. $#nodes) {
        $nodes[$i]{peer_front} = shift @ports;
        push @routes, { port => $nodes[$i]{peer_front}, target => $nodes[$i]{peer_port}, to => "n$i" };
        for my $machine (@machines) {
            push @{ $self->{endpoints}{$machine} }, 'http://127.0.0.1:' . $ports[0];
            push @routes, { port => shift @ports, target => $nodes[$i]{port}, from => $machine, to => 'client', node => $i };
        }
    }
    $self->{wire}->stop if $self->{wire};
    $self->{wire} = Graceful::Chaos::Wire->start(\@routes, $self->{box}->path('renewals'));
    return;
}

sub lay_proxy {
    my ($self, $machine) = @_;

    $self->{proxy} = Graceful::Proxy->start($self->{etcd}->url(0), $self->{box}->path('proxy'));
    $self->{endpoints}{$machine} = [ $self->{proxy}->url ];
    return;
}

sub note_node {
    my ($self, $i) = @_;

    $self->{wire}->pids_of("n$i", $self->{etcd}->pid($i));
    return;
}

sub job_conf {
    my ($self, $i) = @_;
    my $name = $self->{job_names}[$i];
    my $box = $self->{box};
    my ($stop, $hurry) = $self->{held} ? ('300s', '200s') : ('8s', '2s');

    return {
        command => [ $^X, source_dir() . '/t/chaos/job', $box->path('journals'), $box->path("events/$name"), @{ $tempers[ $i % @tempers ] },
            $self->{held} ? 'hold=' . $self->go : () ],
        checkpoint => $self->{checkpoint}, stop_timeout => $stop, hurry_timeout => $hurry, restart_min => '10ms', restart_max => '100ms',
    };
}

sub conf {
    my ($self, $name) = @_;
    my %jobs = map { $self->{job_names}[$_] => $self->job_conf($_) } 0 .. $#{ $self->{job_names} };

    return $self->{box}->config($name, \%jobs, {
        coordinator => { type => 'etcd', endpoints => $self->{endpoints}{$name}, ttl => "$self->{ttl}s" },
        log => { to => 'stderr', level => 'info' },
    });
}

# In a session of its own, which all of its workers stay in.
sub start_master {
    my ($self, $name) = @_;
    my $faults = $self->{faults};
    my $master = $self->{box}->start($self->conf($name), sub {
        setsid();
        $ENV{GRACEFUL_FAULT} = $faults if $faults;
    });

    $self->{sessions}{$name}{ $master->pid } = birth_of($master->pid);
    $self->{masters}{$name} = $master;
    return $master;
}

# ---- Events ----

# As many as are due by now, to every job alike.
sub feed {
    my ($self) = @_;
    my $due = int((now() - $self->{fed_from}) * EVENTS_A_SECOND) + 1;
    my $lines = join('', map { "$_\n" } $self->{fed} + 1 .. $due);

    return if $due <= $self->{fed};
    for my $job ($self->jobs) {
        open(my $out, '>>', $self->{box}->path("events/$job")) or die "events: $!\n";
        syswrite($out, $lines);
        close($out);
    }
    $self->{fed} = $due;
    return;
}

sub fed { return $_[0]{fed} }

# How far the newest process of a job says that it has counted.
sub counted {
    my ($self, $job) = @_;
    my ($path) = sort { -M $a <=> -M $b } glob($self->{box}->path("journals/$job.*"));
    my @beats = $path ? grep { /beat \d/ } split(/\n/, slurp($path)) : ();

    my ($far) = @beats ? $beats[-1] =~ /beat (\d+)/ : ();
    return $far;
}

# ---- Processes ----

sub worker_of {
    my ($self, $name, $job) = @_;
    return $self->{masters}{$name}->job($job)->{worker_pid};
}

sub job_pid_of {
    my ($self, $name, $job) = @_;
    return $self->{masters}{$name}->job($job)->{job_pid};
}

# The machine whose master says that it runs the job.
sub owner_of {
    my ($self, $job) = @_;
    my ($owner) = grep { !$self->{masters}{$_}->ended && $self->job_pid_of($_, $job) } $self->machines;

    return $owner;
}

sub belongs {
    my ($self, $name, $pid) = @_;
    my ($session) = slurp("/proc/$pid/stat") =~ /\) \S \d+ \d+ (\d+)/ or return 0;
    my $birth = $self->{sessions}{$name}{$session};

    # The number of a session that is gone may be somebody else's by now, who is not to be killed for it.
    return 1 if defined $birth && birth_of($session) =~ /^(?:$birth)?$/;
    my $environ = slurp("/proc/$pid/environ");
    my $dir = $self->{box}->dir;
    return $environ =~ /GRACEFUL_INSTANCE=\Q$name\E\0/ && $environ =~ /GRACEFUL_STATE=\Q$dir\E/;
}

sub processes_of {
    my ($self, $name) = @_;
    return grep { $self->belongs($name, $_) } map { m{/(\d+)\z} } glob('/proc/[0-9]*');
}

# Returns the processes that were killed.
sub kill_machine {
    my ($self, $name) = @_;
    my %killed;

    # Stopped first, so that none hears of the death of another.
    kill('STOP', $self->processes_of($name));
    while (my @left = grep { alive($_) } $self->processes_of($name)) {
        kill('KILL', @left);
        $killed{$_} = 1 for @left;
        $self->{masters}{$name}->ended;
    }
    return keys %killed;
}

# ---- The end ----

# What the last committed record of a job holds: the record and the job's own state.
sub committed {
    my ($self, $job) = @_;
    my $text = $self->{etcd}->value("/graceful/jobs/$job/state");

    return if $text eq '';
    my $record = decode_json($text);
    return ($record, eval { decode_json(state_in($record)) });
}

sub everything_of {
    my ($self) = @_;
    return map { $self->processes_of($_) } $self->machines;
}

sub stop {
    my ($self) = @_;

    $self->kill_machine($_) for grep { $self->{masters}{$_} } $self->machines;
    $self->{wire}->stop if $self->{wire};
    $self->{pulse}->stop if $self->{pulse};
    $self->{witness}->stop if $self->{witness};
    undef $self->{proxy};
    undef $self->{etcd};
    system('umount', '-l', $self->{mounted}) if $self->{mounted};
    return;
}

1;
