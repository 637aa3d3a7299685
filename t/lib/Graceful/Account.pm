package Graceful::Account;

# The account of a stream of events: what was written to a file, against what tally, the example job, has counted. Lost: written and
# not counted. Duplicated: counted once too often, or never written.
#
#   my $orders = Graceful::Account->new($box, 'orders');
#   $orders->begin;
#   my $jobs = { orders => { command => $orders->command('--interval', 500) } };
#   $orders->end;
#   $orders->wait_counted($master);
#   my $sum = $orders->settle($record);    # lines, counted, lost, twice
#
# Without more every line has a number of its own and is a key of its own, so that each is accounted for. Other lines: new(..., next =>
# sub { next line }, field => 3), which are accounted for by that field.

use strict;
use warnings;

use Exporter qw(import);
use File::Temp;
use IO::Handle;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(time);

use Graceful::Record qw(state_in);
use Graceful::Test qw(slurp spew wait_for);

our @EXPORT_OK = qw(compare counts_of);

# Two hashes from a key to how often it occurs.
sub compare {
    my ($written, $counted) = @_;
    my ($lost, $twice) = (0, 0);

    for my $key (keys %{ { %$written, %$counted } }) {
        my $more = ($counted->{$key} // 0) - ($written->{$key} // 0);

        $lost -= $more if $more < 0;
        $twice += $more if $more > 0;
    }
    return ($lost, $twice);
}

# What a state file of tally says: a hash from each key to its count, the number of lines, and of gaps. Dies when tally refuses it.
sub counts_of {
    my ($tally, $path) = @_;
    my $said = File::Temp->new;
    my $pid = open(my $in, '-|') // die "cannot fork: $!\n";

    if ($pid == 0) {
        open(STDERR, '>&', $said);
        exec($tally, '--show', $path) or POSIX::_exit(127);
    }
    my %counts = map { /^(\d+) (.*)$/ ? ($2 => $1) : () } <$in>;
    local $?;
    close($in);
    my $sums = slurp($said->filename);
    die "cannot read the state $path: $sums\n" if $? != 0;
    my ($lines, $gaps) = $sums =~ /^(\d+) lines, \d+ keys, (\d+) gaps/;
    return (\%counts, $lines, $gaps);
}

sub new {
    my ($class, $box, $name, %more) = @_;

    return bless({ box => $box, name => $name, path => $box->path("$name.events"), owner => $$, %more }, $class);
}

sub name { return $_[0]{name} }

# The job that counts this stream.
sub command {
    my ($self, @options) = @_;

    return [ $self->{box}->tally, map { "$_" } @options, $self->{field} ? ('--field', $self->{field}) : (), $self->{path} ];
}

# The file begins to grow, by $rate lines a second, in a process of its own. It ends with end(), or with this process.
sub begin {
    my ($self, $rate) = @_;
    my $parent = $$;

    spew($self->{path}, '');
    my $pid = fork() // die "cannot fork: $!\n";
    if ($pid == 0) {
        $SIG{$_} = 'IGNORE' for qw(INT HUP);
        $self->write_lines($parent, ($rate // 400) / 100);
        POSIX::_exit(0);
    }
    $self->{pid} = $pid;
    return;
}

sub numbered_lines {
    my ($self) = @_;
    my $n = 0;

    return sub { return sprintf("%s-%06d at %.3f\n", $self->{name}, ++$n, time) };
}

sub write_lines {
    my ($self, $parent, $at_once) = @_;
    my $next = $self->{next} // $self->numbered_lines;
    my $stop = 0;

    local $SIG{TERM} = sub { $stop = 1 };    # a line is whole or not there
    open(my $out, '>>', $self->{path}) or die "cannot write $self->{path}: $!\n";
    $out->autoflush(1);
    until ($stop || getppid() != $parent) {
        print {$out} $next->() for 1 .. $at_once;
        select(undef, undef, undef, 0.01);
    }
    return;
}

# It stops growing; returns how many lines there are.
sub end {
    my ($self) = @_;
    my $pid = delete $self->{pid} // return $self->{lines};

    kill('TERM', $pid);
    local $?;
    waitpid($pid, 0);
    return $self->{lines} = () = slurp($self->{path}) =~ /\n/g;
}

# Waits until the job says that it has counted the stream to its end.
sub wait_counted {
    my ($self, $master) = @_;

    return wait_for("$self->{name} is counted to its end", sub {
        return ($master->job($self->{name})->{status} // '') =~ /^$self->{lines} lines/;
    });
}

# Sums up against a state record, as the coordinator keeps it.
sub settle {
    my ($self, $record) = @_;
    my ($counted) = counts_of($self->{box}->tally, $self->state_of($record));
    my ($lost, $twice) = compare($self->written, $counted);

    return { lines => $self->{lines}, counted => $self->{lines} - $lost + $twice, lost => $lost, twice => $twice };
}

# The file with the state that a record names or holds.
sub state_of {
    my ($self, $record) = @_;
    return spew($self->{box}->path("$self->{name}.committed"), state_in(decode_json($record)));
}

sub written {
    my ($self) = @_;
    my $field = ($self->{field} // 1) - 1;
    my %times;

    for my $line (split(/\n/, slurp($self->{path}))) {
        $times{ (split(' ', $line))[$field] // '' }++;
    }
    return \%times;
}

sub DESTROY {
    my ($self) = @_;

    $self->end if $self->{owner} == $$ && $self->{pid};
    return;
}

1;
