package Graceful::Test;

# What every system test needs: a directory of its own, configurations, masters that are started, watched, signalled and
# always ended again, and waiting for conditions instead of sleeping.
#
#   my $box = Graceful::Test->new;
#   my $conf = $box->config('web-1', { orders => { command => [ $box->script('orders', $sh) ] } });
#   my $master = $box->start($conf);
#   $master->wait_state(orders => 'running');
#   $master->signal('INT');
#   is($master->wait_exit, 0, 'every state dumped, every lock released');

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use Errno qw(EINTR);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use IO::Handle;
use JSON::PP;
use POSIX qw(:sys_wait_h);
use Scalar::Util qw(weaken);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

our @EXPORT_OK = qw(wait_for slurp spew build_dir source_dir can_mount alive birth_of end_of still_run children_of);

# A condition that takes longer is taken for one that never comes. Generous, as the machine may be busy; nothing is
# asserted about how long things take.
use constant PATIENCE => $ENV{GRACEFUL_TEST_PATIENCE} // 120;

my @boxes;    # weak: each ends with its last user, at the latest with the test

# A shell that starts a whole test run with "&" has this one and INT ignored, and so would every process of it have: a signal
# that reaches a master before it has come to change that would be lost.
$SIG{QUIT} = 'DEFAULT';

# A test that is told to end - by its driver, by Ctrl-C - clears up: exit() runs the END blocks.
my %ending = (INT => sub { exit(130) }, TERM => sub { exit(143) });
$ending{HUP} = sub { exit(129) } if ($SIG{HUP} // '') ne 'IGNORE';    # as nohup(1) wants it
@SIG{ keys %ending } = values %ending;

# Its children are not that test: they end as others do. From their first moment on, as Perl puts a handler off, perhaps until
# another program runs there, which never hears of the signal.
BEGIN {
    *CORE::GLOBAL::fork = sub () {
        my ($held, $before) = (POSIX::SigSet->new(POSIX::SIGHUP, POSIX::SIGINT, POSIX::SIGTERM), POSIX::SigSet->new);

        POSIX::sigprocmask(POSIX::SIG_BLOCK, $held, $before);
        my $pid = CORE::fork();
        if (defined $pid && $pid == 0) {
            $SIG{$_} = 'DEFAULT' for grep { ($SIG{$_} // '') eq $ending{$_} } keys %ending;
        }
        POSIX::sigprocmask(POSIX::SIG_SETMASK, $before);
        return $pid;
    };
}

sub source_dir { return abs_path(dirname(__FILE__) . '/../../..') }
sub build_dir { return abs_path($ENV{GRACEFUL_BUILDDIR} // '.') }

# Whether file systems can be mounted in a name space of one's own: a container's root may not.
sub can_mount { return $> == 0 && system('unshare -m mount -t tmpfs none /mnt 2>/dev/null') == 0 }

# Polls until $condition is true and returns its value; dies, naming $what, when it does not come.
sub wait_for {
    my ($what, $condition, $patience) = @_;
    my $end = clock_gettime(CLOCK_MONOTONIC) + ($patience // PATIENCE);

    while (1) {
        my $value = $condition->();
        return $value if $value;
        give_up($what) if clock_gettime(CLOCK_MONOTONIC) > $end;
        select(undef, undef, undef, 0.01);
    }
}

# The logs now, as a test that dies takes its box along.
sub give_up {
    my ($what) = @_;

    $_->tell_logs for grep { defined } @boxes;
    die "waited in vain for: $what\n";
}

sub slurp {
    my ($path) = @_;
    open(my $in, '<', $path) or return '';
    local $/;
    my $text = <$in>;
    return $text // '';
}

sub spew {
    my ($path, $text) = @_;
    open(my $out, '>', $path) or die "cannot write $path: $!\n";
    print {$out} $text;
    close($out) or die "cannot write $path: $!\n";
    return $path;
}

# A process that runs: neither gone nor a zombie.
sub alive {
    my ($pid) = @_;
    return slurp("/proc/$pid/stat") =~ /\) ([A-Z])/ && $1 ne 'Z' && $1 ne 'X';
}

# What tells a process that runs from a later one with the same number, which a busy machine has again within a minute or two. Empty
# for one that does not run.
sub birth_of {
    my ($pid) = @_;
    my ($mode, $rest) = slurp("/proc/$pid/stat") =~ /\) ([A-Z]) (.*)/ or return '';

    return $mode =~ /[ZX]/ ? '' : (split(' ', $rest))[18];
}

# Those of these processes that run still, by their births.
sub still_run {
    my (%births) = @_;

    return grep { $births{$_} ne '' && birth_of($_) eq $births{$_} } keys %births;
}

# Takes note of a process that runs now; returns a condition for wait_for(): that it has ended. Of one that does not run it would be
# true at once, and test nothing; where some may have ended, there are birth_of() and still_run().
sub end_of {
    my ($pid) = @_;
    my $birth = defined $pid ? birth_of($pid) : '';

    croak('there is no process ' . ($pid // '(unknown)') . ' to wait for the end of') if $birth eq '';
    return sub { return !still_run($pid => $birth) };
}

sub children_of {
    my ($pid) = @_;
    return split(' ', slurp("/proc/$pid/task/$pid/children"));
}

sub new {
    my ($class) = @_;
    my $dir = tempdir('graceful-test-XXXXXX', TMPDIR => 1);

    chmod(0755, $dir);
    my $self = bless({ dir => abs_path($dir), masters => [], begun => {}, commands => 0, owner => $$ }, $class);
    weaken($boxes[@boxes] = $self);
    return $self;
}

sub dir { return $_[0]{dir} }
sub path { my ($self, $name) = @_; return "$self->{dir}/$name" }
sub graceful { return $ENV{GRACEFUL} // build_dir() . '/graceful' }
sub has_faults { return slurp($_[0]->graceful) =~ /GRACEFUL_FAULT/ }
sub tally { return $ENV{TALLY} // build_dir() . '/etc/examples/tally' }

# A program for a job to run; returns its path.
sub script {
    my ($self, $name, $body) = @_;
    my $path = spew($self->path($name), "#!/bin/bash\n$body");

    chmod(0755, $path);
    return $path;
}

# A job in bash; returns its command. It runs $start, then waits for signals: INT runs $stop and exits with 0. In both,
# `dump` puts its stdin in the place of the state file, and $dir is the directory of the box. (It looks around now and then, as a
# signal right before a `wait` would be seen after it.)
sub job {
    my ($self, $name, $start, $stop) = @_;
    my ($dir, $end) = ($self->dir, $stop // '');

    return [ $self->script($name, <<"END") ];
dir='$dir'
dump() { cat >"\$GRACEFUL_STATE.tmp" && mv "\$GRACEFUL_STATE.tmp" "\$GRACEFUL_STATE"; }
stop() { $end
exit 0; }
trap stop INT
exec 9<> <(:)
$start
while :; do read -r -t 0.1 -u 9; done
END
}

# Writes a configuration for the master $instance. All masters of a box share one local coordinator and one store. $more: top-level
# keys to add or to replace. Returns the path.
sub config {
    my ($self, $instance, $jobs, $more) = @_;
    my %conf = (
        instance => $instance,
        coordinator => { type => 'local', path => $self->path('local') },
        state => { url => 'file://' . $self->path('store') },
        run_dir => $self->path("run-$instance"),
        work_dir => $self->path("work-$instance"),
        log => { to => 'stderr', level => 'debug' },
        jobs => $jobs,
        %{ $more // {} },
    );

    return spew($self->path("$instance.json"), JSON::PP->new->canonical->pretty->encode(\%conf));
}

# The sample configuration as it is installed, but for the paths in it, which are of the box. $edit, if given, gets its text as $_.
# Returns the path.
sub sample {
    my ($self, $edit) = @_;
    local $_ = slurp(build_dir() . '/etc/graceful.json');

    s{"(file://)?/[^"]*/(\w+/graceful[^"]*)"}{'"' . ($1 // '') . $self->path($2) . '"'}ge;
    s{"/[^"]*/tally"}{"${\$self->tally}"};
    $edit->() if $edit;
    return spew($self->path('sample.json'), $_);
}

# Starts `graceful run`, with further words if there are any, and returns at once. $prepare, if given, runs in the child before
# the exec.
sub start {
    my ($self, $conf, $prepare, @words) = @_;
    my $text = decode_json(slurp($conf));
    my $log = $self->path("$text->{instance}.log");
    my $pid = fork() // die "cannot fork: $!\n";

    if ($pid == 0) {
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>>', $log);
        open(STDERR, '>>', $log);
        $prepare->() if $prepare;
        exec($self->graceful, 'run', '-c', $conf, @words) or POSIX::_exit(127);
    }
    my $master = bless({
        pid => $pid, log => $log, conf => $conf, run_dir => $text->{run_dir}, work_dir => $text->{work_dir},
        instance => $text->{instance},
    }, 'Graceful::Test::Master');
    push @{ $self->{masters} }, $master;
    return $master;
}

# Runs a command to its end; returns its status, stdout and stderr.
sub run {
    my ($self, @command) = @_;

    return $self->finish($self->begin(@command));
}

# Starts a command that is to be waited for with finish(); {pid} is its own.
sub begin {
    my ($self, @command) = @_;
    my ($out, $err) = map { $self->path("said-$self->{commands}.$_") } qw(out err);
    my $pid = fork() // die "cannot fork: $!\n";

    if ($pid == 0) {
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>', $out);
        open(STDERR, '>', $err);
        exec(@command) or POSIX::_exit(127);
    }
    $self->{commands}++;
    $self->{begun}{$pid} = 1;
    return { pid => $pid, out => $out, err => $err };
}

sub finish {
    my ($self, $run) = @_;

    waitpid($run->{pid}, 0);
    delete $self->{begun}{ $run->{pid} };
    my $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    my @said = map { slurp($run->{$_}) } qw(out err);
    unlink(@{$run}{qw(out err)});
    return ($status, @said);
}

# Before global destruction, in which the masters of a box may be gone before it.
END {
    my $status = $?;
    $_->tell_logs for $status == 0 ? () : grep { defined } @boxes;
    $_->clean_up for grep { defined } @boxes;
    $? = $status;
}

# For whoever has to find out why a test failed.
sub tell_logs {
    my ($self) = @_;

    return if $self->{owner} != $$;
    for my $master (@{ $self->{masters} }) {
        my @lines = split(/\n/, $master->log_text);
        splice(@lines, 0, -60) if @lines > 60;
        print STDERR "# $master->{instance}, pid $master->{pid}:\n", map { "#   $_\n" } @lines;
    }
    return;
}

# The commands that a test did not come to finish. By TERM, as they may have processes of their own to end, unless they take no notice.
sub end_begun {
    my ($self) = @_;
    my @left = grep { waitpid($_, WNOHANG) == 0 } keys %{ $self->{begun} };

    $self->{begun} = {};
    for my $signal (qw(TERM CONT)) { kill($signal, @left) }
    for my $pid (@left) {
        next if eval { wait_for("the end of command $pid", sub { waitpid($pid, WNOHANG) }, 10) };
        kill('KILL', $pid);
        waitpid($pid, 0);
    }
    return;
}

sub DESTROY { return $_[0]->clean_up }

sub clean_up {
    my ($self) = @_;

    return if $self->{owner} != $$;
    local ($?, $@, $!);
    $self->end_begun;
    $_->put_down for splice(@{ $self->{masters} });
    remove_tree($self->{dir}) unless $ENV{GRACEFUL_TEST_KEEP};
    return;
}

package Graceful::Test::Master;

use strict;
use warnings;

use JSON::PP;
use POSIX qw(:sys_wait_h);

sub pid { return $_[0]{pid} }
sub log_text { return Graceful::Test::slurp($_[0]{log}) }

# The status file as it stands, {} if there is none.
sub status {
    my ($self) = @_;
    my $text = Graceful::Test::slurp("$self->{run_dir}/status.json");

    return $text eq '' ? {} : (eval { decode_json($text) } // {});
}

# What the status file of this very process says of a job.
sub job {
    my ($self, $job) = @_;
    my $status = $self->status;

    return {} if ($status->{pid} // 0) != $self->{pid};
    return $status->{jobs}{$job} // {};
}

sub wait_state {
    my ($self, $job, $state) = @_;

    return Graceful::Test::wait_for("$self->{instance}: $job is $state", sub {
        die "$self->{instance} ended:\n" . $self->log_text if $self->ended;
        my $now = $self->job($job);
        return ($now->{state} // '') eq $state ? $now : undef;
    });
}

# Returns the master.
sub wait_ready {
    my ($self, $job) = @_;

    Graceful::Test::wait_for("$self->{instance}: $job is ready", sub { $self->job($job)->{ready} });
    return $self;
}

sub wait_log {
    my ($self, $pattern, $what) = @_;

    return Graceful::Test::wait_for($what // "$self->{instance} logs $pattern", sub { $self->log_text =~ $pattern });
}

sub signal {
    my ($self, $signal) = @_;

    return kill($signal, $self->{pid});
}

# True once it has ended; reaps it.
sub ended {
    my ($self) = @_;

    return 1 if defined $self->{exit};
    if (waitpid($self->{pid}, WNOHANG) == $self->{pid}) {
        $self->{exit} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
        return 1;
    }
    return 0;
}

# Its exit status, 128 + signal if one killed it.
sub wait_exit {
    my ($self) = @_;

    eval { Graceful::Test::wait_for("$self->{instance} ends", sub { $self->ended }); 1 }
        or die $@ . $self->log_text;
    return $self->{exit};
}

# The end of a test, however it went: nothing that this master started survives it.
sub put_down {
    my ($self) = @_;
    my @left;

    return if $self->ended && !$self->{abandoned};
    @left = $self->descendants;
    kill('KILL', $self->{pid}, @left);
    waitpid($self->{pid}, 0) unless defined $self->{exit};
    $self->{exit} //= 137;
    return;
}

# Every process below the master.
sub descendants {
    my ($self) = @_;
    my @all;
    my @todo = ($self->{pid});

    while (@todo) {
        my @next = Graceful::Test::children_of(shift @todo);
        push @all, @next;
        push @todo, @next;
    }
    return @all;
}

1;
