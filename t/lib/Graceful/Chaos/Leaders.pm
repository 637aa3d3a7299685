package Graceful::Chaos::Leaders;

# Who led etcd when, and when nobody did: from the logs of its nodes, and from the faults that hit these. No I/O: texts in, times out.
#
#   my $leaders = Graceful::Chaos::Leaders->new(logs => [ $text, ... ], offset => $seconds, faults => [...]);
#   $leaders->elections;     # [ time, node ] of each, in order
#   $leaders->leaderless;    # [ from, to ]: nothing could be committed. Since there was the first one.
#
# offset: what a time of CLOCK_REALTIME is to be added to become one of CLOCK_BOOTTIME.

use strict;
use warnings;

use Time::Local qw(timegm);

use constant FOREVER => 1e12;

sub new {
    my ($class, %with) = @_;
    my $self = bless({ n => scalar @{ $with{logs} } }, $class);
    my @events = map { my $i = $_; map { [ $_->[0] + $with{offset}, $i, $_->[1] ] } read_log($with{logs}[$i]) } 0 .. $self->{n} - 1;

    # Of a log line, the time is when it was written: the order within a node is that of its lines.
    $self->{events} = [ sort { $a->[0] <=> $b->[0] } @events ];
    $self->{gone} = [ grep { $_->{kind} =~ /^(?:kill|stop|isolate) node\z/ } @{ $with{faults} } ];
    $self->{elections} = [ map { [ @{$_}[ 0, 1 ] ] } grep { $_->[2] eq 'leads' } @{ $self->{events} } ];
    return $self;
}

sub elections { return @{ $_[0]{elections} } }

# ---- Logs ----

# "2026-11-26T08:42:25.756Z", or with an offset as of "+0100".
sub seconds {
    my ($text) = @_;
    my ($year, $month, $day, $hour, $minute, $second, $zone) =
        $text =~ /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):([\d.]+)(Z|[+-]\d{4})/ or return;
    my ($sign, $hours, $minutes) = $zone =~ /^([+-])(\d\d)(\d\d)/;
    my $shift = $sign ? "${sign}1" * (60 * $hours + $minutes) * 60 : 0;

    return timegm(0, $minute, $hour, $day, $month - 1, $year) + $second - $shift;
}

my @sayings = (
    [ leads => qr/ became leader at term / ],
    [ begins => qr/"starting etcd server"|"starting an etcd server"/ ],
    [ follows => qr/ (?:elected leader|changed leader from) / ],
    [ lost => qr/ lost leader / ],
);

sub read_log {
    my ($text) = @_;
    my @events;

    for my $line (split(/\n/, $text)) {
        my ($saying) = map { $_->[0] } grep { $line =~ $_->[1] } @sayings;
        next if !$saying;
        my ($stamp) = $line =~ /"ts":"([^"]+)"/;
        my $at = defined $stamp ? seconds($stamp) : undef;
        push @events, [ $at, $saying ] if defined $at;
    }
    return @events;
}

# ---- Without a leader ----

sub is_gone {
    my ($self, $node, $at) = @_;
    return scalar grep { $_->{node} == $node && $_->{from} <= $at && $at < $_->{to} } @{ $self->{gone} };
}

# Most nodes are there and follow one, and that one is there, too.
sub has_leader {
    my ($self, $at, $leader, $follows) = @_;
    my @there = grep { !$self->is_gone($_, $at) } 0 .. $self->{n} - 1;

    return 0 if $self->is_gone($leader, $at);
    return 2 * (grep { $follows->{$_} } @there) > $self->{n};
}

sub leaderless {
    my ($self) = @_;
    my @events = @{ $self->{events} };
    my @times = sort { $a <=> $b } (map { $_->[0] } @events), map { ($_->{from}, $_->{to}) } @{ $self->{gone} };
    my (@without, $leader, %follows, $since);

    for my $at (@times) {
        while (@events && $events[0][0] <= $at) {
            my (undef, $node, $what) = @{ shift @events };
            $follows{$node} = $what eq 'leads' || $what eq 'follows';
            $leader = $node if $what eq 'leads';
        }
        next if !defined $leader;
        my $has = $self->has_leader($at, $leader, \%follows);
        push @without, [ $since, $at ] if $has && defined $since;
        $since = $has ? undef : $since // $at;
    }
    return (@without, defined $since ? [ $since, FOREVER ] : ());
}

1;
