package Graceful::Runs;

# When a job ran, as t/lib/witness wrote it down, over all masters of a test.
#
#   my $runs = Graceful::Runs->new($box, 'orders');
#   my $jobs = { orders => { command => $runs->command(@command) } };
#   is_deeply([$runs->faults], [], 'never two at once');

use strict;
use warnings;

use Graceful::Test qw(slurp source_dir wait_for);

sub new {
    my ($class, $box, $name) = @_;

    return bless({ name => $name, journal => $box->path("$name.runs") }, $class);
}

sub command {
    my ($self, @command) = @_;

    return [ $^X, source_dir() . '/t/lib/witness', $self->{journal}, @command ];
}

# All that was written down, in that order: what ("start", "end", "overlap"), at, epoch, pid, restored, by.
sub entries {
    my ($self) = @_;

    return map { my ($what, $facts) = split(' ', $_, 2); { what => $what, $facts =~ /(\w+)=(\S+)/g } }
        split(/\n/, slurp($self->{journal}));
}

sub starts { return grep { $_->{what} eq 'start' } $_[0]->entries }

# Waits for the $n-th start, and returns it.
sub wait_start {
    my ($self, $n) = @_;

    return wait_for("$self->{name} starts for the ${n}th time", sub { return ($self->starts)[ $n - 1 ] });
}

# What must never be: two at once, or a fencing token that is not larger than that of the owner before.
sub faults {
    my ($self) = @_;
    my ($epoch, $ended, @faults) = (0, 0);

    for my $entry ($self->entries) {
        my $text = join(' ', map { "$_=$entry->{$_}" } sort keys %$entry);

        push @faults, "two at once: $text" if $entry->{what} eq 'overlap';
        if ($entry->{what} eq 'end') {
            $ended = $entry->{at} if $entry->{at} > $ended;
            next;
        }
        push @faults, "started before the end of the one before: $text" if $entry->{at} < $ended;
        push @faults, "epoch below $epoch: $text" if $entry->{epoch} < $epoch;
        $epoch = $entry->{epoch};
    }
    return @faults;
}

# Milliseconds from each end to the next start; without those of runs that were killed.
sub gaps {
    my ($self) = @_;
    my ($ended, @gaps);

    for my $entry ($self->entries) {
        if ($entry->{what} eq 'end') { $ended = $entry->{at} }
        elsif (defined $ended) {
            push @gaps, $entry->{at} - $ended;
            undef $ended;
        }
    }
    return @gaps;
}

1;
