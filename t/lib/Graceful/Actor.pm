package Graceful::Actor;

# The journal of t/lib/actor, the job of tests about signals and deaths.
#
#   my $actor = Graceful::Actor->new($box, 'orders');
#   my $conf = $box->config('web-1', { orders => { command => $actor->command('family') } });
#   $actor->wait_for_line(qr/^start/);

use strict;
use warnings;

use Graceful::Test qw(slurp source_dir still_run wait_for);

sub new {
    my ($class, $box, $name) = @_;

    return bless({ box => $box, name => $name, journal => $box->path("$name.journal") }, $class);
}

# Its job runs in another PID namespace, which ends what is in it: here those numbers are of other processes.
sub elsewhere {
    my ($self) = @_;

    $self->{elsewhere} = 1;
    return $self;
}

sub command {
    my ($self, @words) = @_;

    return [$^X, source_dir() . '/t/lib/actor', $self->{journal}, @words];
}

sub lines { return split(/\n/, slurp($_[0]{journal})) }

# How often a line like this stands in the journal.
sub count {
    my ($self, $pattern) = @_;

    return scalar(grep { $_ =~ $pattern } $self->lines);
}

# Waits until the journal has $n lines like this; returns the last one.
sub wait_for_line {
    my ($self, $pattern, $n) = @_;

    return wait_for("$self->{name} notes $pattern", sub {
        my @found = grep { $_ =~ $pattern } $self->lines;
        return @found >= ($n // 1) ? $found[-1] : undef;
    });
}

# Waits for the $n-th start; returns its facts: pid, epoch, restored, count, by.
sub wait_start {
    my ($self, $n) = @_;

    return { $self->wait_for_line(qr/^start /, $n) =~ /(\w+)=(\S+)/g };
}

# The processes of all runs that live.
sub survivors {
    my ($self) = @_;
    return if $self->{elsewhere};
    my %births = map { my ($pid, $birth) = split; $pid => $birth // '' } split(/\n/, slurp("$self->{journal}.kin"));

    return still_run(%births);
}

# The whole tree of a machine that died: ends what is left, however the test went.
sub DESTROY {
    my ($self) = @_;

    kill('KILL', $_) for $self->survivors;
    return;
}

1;
