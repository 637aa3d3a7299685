package Graceful::Chaos::Pulse;

# How busy the machine itself was: a process that wants to wake every few milliseconds, and notes when it came late. What is late
# for want of a processor is no fault of the program that is judged.
#
#   my $pulse = Graceful::Chaos::Pulse->start($path);
#   $pulse->late($from, $to);    # seconds by which all that should have run between the two was late

use strict;
use warnings;

use List::Util qw(max min sum0);
use POSIX ();
use Time::HiRes qw(clock_gettime);

use Graceful::Test qw(slurp);

use constant CLOCK_BOOTTIME => 7;
use constant { BEAT => 0.02, WORTH_NOTING => 0.05 };

sub start {
    my ($class, $path) = @_;
    my $parent = $$;
    my $pid = fork() // die "fork: $!\n";

    if ($pid == 0) {
        $SIG{INT} = 'IGNORE';
        beat($path, $parent);
        POSIX::_exit(0);
    }
    return bless({ pid => $pid, path => $path }, $class);
}

sub beat {
    my ($path, $parent) = @_;
    my $last = clock_gettime(CLOCK_BOOTTIME);

    open(my $out, '>>', $path) or return;
    while (getppid() == $parent) {
        select(undef, undef, undef, BEAT);
        my $now = clock_gettime(CLOCK_BOOTTIME);
        syswrite($out, sprintf("%.3f %.3f\n", $last + BEAT, $now)) if $now - $last > BEAT + WORTH_NOTING;
        $last = $now;
    }
    return;
}

sub late {
    my ($self, $from, $to) = @_;
    my @all = map { [split] } split(/\n/, slurp($self->{path}));

    return sum0(map { max(0, min($to, $_->[1]) - max($from, $_->[0])) } @all);
}

sub stop {
    my ($self) = @_;

    local $?;
    kill('KILL', $self->{pid});
    waitpid($self->{pid}, 0);
    return;
}

1;
