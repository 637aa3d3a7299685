package Graceful::Systemd;

# A real systemd, as process 1 of namespaces of its own, with the units of the test alone.
#
#   my $systemd = Graceful::Systemd->start($box, 'graceful.service' => $text) or plan(skip_all => $Graceful::Systemd::why);
#   my ($status, $out) = $systemd->ctl('start', 'graceful.service');

use strict;
use warnings;

use File::Find qw(finddepth);
use POSIX ();

use Graceful::Test qw(children_of slurp source_dir spew wait_for);

our $why;

# Its control groups are below these, so that it takes no process out of anybody else's.
sub hierarchies {
    return grep { -w "$_/cgroup.procs" } -d '/sys/fs/cgroup/systemd'
        ? ('/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified')
        : ('/sys/fs/cgroup');
}

# undef, with the reason in $why, where it cannot be had.
sub start {
    my ($class, $box, %units) = @_;
    my $self = bless({ box => $box, groups => [] }, $class);

    $why = $> != 0 ? 'only root may make the namespaces'
        : !-x '/lib/systemd/systemd' ? 'no systemd is installed'
        : !hierarchies() ? 'no control groups can be made here'
        : undef;
    return if defined $why;
    mkdir($box->path('units'));
    spew($box->path('units/default.target'), "[Unit]\nDescription=a test\n");
    spew($box->path("units/$_"), $units{$_}) for keys %units;
    # Without groups of its own it would take hold of the processes in ours.
    for my $above (hierarchies()) {
        if (!mkdir("$above/graceful-test-$$")) {
            $why = "no control group can be made in $above: $!";
            return;
        }
        push @{ $self->{groups} }, "$above/graceful-test-$$";
    }
    $self->launch;
    return $self if eval { wait_for('systemd runs', sub { $self->runs }, 60) };
    $why = 'systemd does not run in namespaces here: ' . (split(/\n/, slurp($box->path('systemd.log')) || 'it is silent'))[-1];
    return;
}

sub launch {
    my ($self) = @_;
    my $box = $self->{box};

    $self->{pid} = fork() // die "cannot fork: $!\n";
    return if $self->{pid} != 0;
    open(STDIN, '<', '/dev/null');
    open(STDOUT, '>', $box->path('systemd.log'));
    open(STDERR, '>&', \*STDOUT);
    for my $group (@{ $self->{groups} }) {
        eval { spew("$group/cgroup.procs", $$) } or POSIX::_exit(126);
    }
    exec(qw(unshare --pid --mount --cgroup --net --uts --ipc --fork --kill-child --mount-proc),
        source_dir() . '/t/lib/systemd-init', $box->path('units')) or POSIX::_exit(127);
}

# Its process 1, seen from here.
sub init_pid {
    my ($self) = @_;

    return $self->{init} //= (children_of($self->{pid}))[0];
}

sub runs {
    my ($self) = @_;

    return defined $self->init_pid && ($self->ctl('is-system-running'))[1] =~ /running|degraded/;
}

# A command in its namespaces; returns status, stdout, stderr.
sub inside {
    my ($self, @command) = @_;

    return $self->{box}->run('timeout', 100, 'nsenter', '-t', $self->init_pid, qw(-m -u -i -n -p -C), @command);
}

sub ctl {
    my ($self, @words) = @_;

    return $self->inside('systemctl', '--no-pager', @words);
}

sub property {
    my ($self, $unit, $name) = @_;
    my ($status, $out) = $self->ctl('show', '-p', $name, '--value', $unit);

    chomp($out);
    return $out;
}

# Everything in its process namespace goes with its process 1.
sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);
    my $init = $self->{pid} && eval { $self->init_pid };

    kill('KILL', grep { defined } $init, $self->{pid});
    waitpid($self->{pid}, 0) if $self->{pid};
    for my $group (@{ $self->{groups} }) {
        # A group may be removed only when its processes were reaped.
        eval { wait_for('its groups are empty', sub {
            finddepth({ wanted => sub { rmdir($_) }, no_chdir => 1 }, $group) if -d $group;
            return !-d $group;
        }, 5) };
    }
    return;
}

1;
