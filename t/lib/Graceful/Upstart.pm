package Graceful::Upstart;

# A stand-in for Upstart: does to one job what was observed of Upstart 1.13.2, whose job files it reads.
#
#   my $upstart = Graceful::Upstart->new($box, $text_of_job_file);
#   $upstart->start;     # as "start JOB": "running", or "stopped" when it failed
#   $upstart->stop;      # as "stop JOB": returns when the main process is gone
#
# What it plays:
#  - the main process is the leader of a session of its own, in /, with a short environment, /dev/null as
#    stdin, and a pseudo-terminal as stdout and stderr that is no controlling terminal; it is drained
#    into a log until the main process is gone, and then closed: who still writes gets EIO
#  - an exec line that a shell has to read is given to one, as "exec LINE"; with a pipe the shell is the main process
#  - "expect stop": start waits until the main process stops itself, and continues it once
#  - the kill signal (TERM) goes to the whole process group of the main process, after the kill timeout (5 s) SIGKILL;
#    only the main process is waited for
#  - the reload signal (HUP) goes to the main process alone
#  - "respawn": an end that nobody asked for starts the job again at once, whatever is left of the old one, unless its status
#    is a "normal exit"
# What it does not: limits, users, events, pre-start and the like.

use strict;
use warnings;

use Config;
use Fcntl qw(O_NOCTTY O_RDWR);
use POSIX qw(:sys_wait_h setsid);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use Graceful::Pty qw(open_pty);
use Graceful::Test qw(slurp wait_for);

# With one of these an exec line is the shell's; "=" is one of them.
use constant SHELL_SIGNS => qr/[~`!\$^&*()=|\\{}\[\];"'<>?]/;

my @signal_names = split(' ', $Config{sig_name});

sub new {
    my ($class, $box, $text) = @_;
    my $self = bless({
        box => $box, log => $box->path('upstart.log'), kill_signal => 'TERM', kill_timeout => 5,
        reload_signal => 'HUP', limit => 10, interval => 5, normal => {}, console => 'log', starts => [],
        state => 'stopped', owner => $$,
    }, $class);

    $self->read_stanza($_) for split(/\n/, $text);
    return $self;
}

sub read_stanza {
    my ($self, $line) = @_;

    return if $line =~ /^\s*(?:#|$)/;
    if ($line =~ /^exec (.*)/) { $self->{exec} = $1 }
    elsif ($line =~ /^expect (\w+)$/) { $self->{expect} = $1 }
    elsif ($line =~ /^kill signal (?:SIG)?(\w+)$/) { $self->{kill_signal} = $1 }
    elsif ($line =~ /^kill timeout ([1-9]\d*)$/) { $self->{kill_timeout} = $1 }
    elsif ($line =~ /^reload signal (?:SIG)?(\w+)$/) { $self->{reload_signal} = $1 }
    elsif ($line =~ /^normal exit (.*)$/) { $self->{normal} = { map { $_ => 1 } split(' ', $1) } }
    elsif ($line =~ /^respawn$/) { $self->{respawn} = 1 }
    elsif ($line =~ /^respawn limit (\d+) (\d+)$/) { @{$self}{qw(limit interval)} = ($1, $2) }
    elsif ($line =~ /^console (log|none)$/) { $self->{console} = $1 }
    elsif ($line =~ /^umask ([0-7]+)$/) { $self->{umask} = oct($1) }
    elsif ($line !~ /^(?:description "[^"]*"|(?:start|stop) on runlevel \[!?\d+\]|limit nofile \d+ \d+)$/) {
        die "the checker refuses this stanza: $line\n";
    }
    return;
}

sub pid { return $_[0]{pid} }
sub log_text { return slurp($_[0]{log}) }
sub respawns { return scalar(@{ $_[0]{starts} }) - 1 }

# "starting", "running", "stopping" or "stopped", after what happened meanwhile.
sub state {
    my ($self) = @_;

    while (defined $self->{pid} && waitpid($self->{pid}, WNOHANG | WUNTRACED) == $self->{pid}) {
        my $status = ${^CHILD_ERROR_NATIVE};

        if (WIFSTOPPED($status)) { $self->stopped_itself }
        else { $self->ended($status) }
    }
    $self->{state} = 'running' if $self->{state} eq 'starting' && defined $self->{pid} && !defined $self->{expect};
    return $self->{state};
}

sub stopped_itself {
    my ($self) = @_;

    $self->{stops}++;
    # A second time nobody continues it.
    return if $self->{state} ne 'starting' || ($self->{expect} // '') ne 'stop';
    $self->{state} = 'running';
    kill('CONT', $self->{pid});
    return;
}

sub ended {
    my ($self, $status) = @_;
    my $was = $self->{state};
    my $exit = WIFSIGNALED($status) ? $signal_names[WTERMSIG($status)] : WEXITSTATUS($status);

    delete $self->{pid};
    $self->close_console;
    $self->{exit} = $exit;
    $self->{state} = 'stopped';
    return if $was eq 'stopping' || !$self->{respawn} || $self->{normal}{$exit} || $self->too_often;
    $self->spawn;
    return;
}

sub too_often {
    my ($self) = @_;
    my $since = clock_gettime(CLOCK_MONOTONIC) - $self->{interval};

    return (grep { $_ > $since } @{ $self->{starts} }) > $self->{limit};
}

sub spawn {
    my ($self) = @_;
    my ($near, $far);

    if ($self->{console} eq 'log') {
        ($near, $far) = open_pty() or die "no pseudo-terminals here\n";
    }
    push @{ $self->{starts} }, clock_gettime(CLOCK_MONOTONIC);
    $self->{state} = 'starting';
    # The main process holds its end from here on: without anybody there the drain would see EIO.
    sysopen(my $keep, $far // '/dev/null', O_RDWR | O_NOCTTY) or die "$far: $!\n";
    $self->{pid} = fork() // die "cannot fork: $!\n";
    if ($self->{pid} == 0) {
        close($near) if $near;
        $self->become_main($keep);
    }
    close($keep);
    $self->drain($near) if $near;
    return;
}

sub become_main {
    my ($self, $console) = @_;
    my $exec = $self->{exec};
    my %env = map { $_ => $ENV{$_} } grep { defined $ENV{$_} } qw(PATH TERM ASAN_OPTIONS UBSAN_OPTIONS);

    setsid();
    open(STDIN, '<', '/dev/null');
    POSIX::dup2(fileno($console), $_) for 1, 2;
    umask($self->{umask}) if defined $self->{umask};
    chdir('/');
    %ENV = (%env, UPSTART_JOB => 'graceful', UPSTART_INSTANCE => '');
    exec('/bin/sh', '-e', '-c', "exec $exec") if $exec =~ SHELL_SIGNS;
    exec(split(' ', $exec)) or POSIX::_exit(127);
}

# The log is written by a process of its own, as this one waits for other things. With {deaf} it does not read. Told TERM it ends
# when there is nothing to read for a moment: who writes to the console may never go.
sub drain {
    my ($self, $near) = @_;

    my $told = 0;
    local $SIG{TERM} = sub { $told = 1 };    # before the fork, as it may be told at once
    $self->{drain} = fork() // die "cannot fork: $!\n";
    return if $self->{drain} != 0;
    setsid();
    open(my $out, '>>', $self->{log}) or POSIX::_exit(1);
    sleep(1) while $self->{deaf};
    while (1) {
        my $ready = '';
        vec($ready, fileno($near), 1) = 1;
        my $n = select($ready, undef, undef, 0.3);
        last if $n == 0 && $told;
        next if $n <= 0;
        sysread($near, my $data, 65536) or last;
        $data =~ s/\r\n/\n/g;
        syswrite($out, $data);
    }
    POSIX::_exit(0);
}

# With it goes the only near end: what is still written gets EIO.
sub close_console {
    my ($self) = @_;
    my $drain = delete $self->{drain} // return;

    kill($self->{deaf} ? 'KILL' : 'TERM', $drain);
    waitpid($drain, 0);
    return;
}

sub start {
    my ($self) = @_;

    $self->spawn;
    return wait_for('the job starts', sub { my $state = $self->state; $state =~ /^(?:running|stopped)$/ ? $state : undef });
}

# Returns whether the main process went by itself, before the kill timeout.
sub stop {
    my ($self) = @_;
    my $pid = $self->{pid};

    $self->{state} = 'stopping';
    kill($self->{kill_signal}, -$pid);
    return 1 if eval { wait_for('the main process ends', sub { $self->state eq 'stopped' }, $self->{kill_timeout}) };
    kill('KILL', -$pid);
    wait_for('the main process is killed', sub { $self->state eq 'stopped' });
    return 0;
}

sub reload {
    my ($self) = @_;

    return kill($self->{reload_signal}, $self->{pid});
}

# Whatever the test left running, below the main process first.
sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);

    return if $self->{owner} != $$;
    if (defined $self->{pid}) {
        my @below = bless({ pid => $self->{pid} }, 'Graceful::Test::Master')->descendants;
        kill('KILL', -$self->{pid}, $self->{pid}, @below);
        waitpid($self->{pid}, 0);
    }
    delete $self->{pid};
    $self->close_console;
    return;
}

1;
