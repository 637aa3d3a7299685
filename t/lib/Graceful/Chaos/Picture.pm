package Graceful::Chaos::Picture;

# The run as a picture: one row a job and machine, its runs as bars, its dumps as ticks, and the faults above, where they happened.
#
#   Graceful::Chaos::Picture::draw($path, $cluster, $verdict, $faults);

use strict;
use warnings;

use List::Util qw(max min);

use Graceful::Test qw(spew);

use constant { LEFT => 70, ROW => 14, SECOND => 18, TOP => 30 };

my @colours = map { "#$_" } qw(4878a8 6aa84f c08a3e 8e63a8 3f9c98 a85a5a 7a7a3c 5a6e8e);

sub draw {
    my ($path, $cluster, $verdict, $faults) = @_;
    my @jobs = $cluster->jobs;
    my @rows = map { my $job = $_; map { [ $job, $_ ] } $cluster->machines } @jobs;
    my @lives = map { my $job = $_; map { +{ %{$_}, job => $job } } $verdict->lives($job) } @jobs;
    my $zero = min(map { $_->{from} } @lives) // 0;
    my $end = max(map { $_->{to} } @lives, @{$faults}) // 0;
    my $top = TOP + ROW * $cluster->machines;
    my $height = $top + ROW * @rows + 30;
    my %y;
    my @svg;

    $y{"$rows[$_][0] $rows[$_][1]"} = $top + ROW * $_ for 0 .. $#rows;
    my $x = sub { return sprintf('%.1f', LEFT + ($_[0] - $zero) * SECOND) };
    push @svg, fault_rows($cluster, $faults, $x, $height);
    push @svg, text(4, $y{"$_->[0] $_->[1]"} + 10, "$_->[0] $_->[1]") for @rows;
    push @svg, life($_, $x, $y{"$_->{job} $_->{by}"}, $colours[ index_of($_->{job}, @jobs) % @colours ]) for @lives;
    push @svg, axis($x, $zero, $end, $height);
    return spew($path, sprintf(qq{<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="9">\n%s</svg>\n},
        $x->($end) + 20, $height, join('', @svg)));
}

sub index_of {
    my ($what, @list) = @_;
    return (grep { $list[$_] eq $what } 0 .. $#list)[0];
}

sub text {
    my ($x, $y, $text, $colour) = @_;
    return sprintf(qq{<text x="%s" y="%s" fill="%s">%s</text>\n}, $x, $y, $colour // '#333', $text);
}

sub bar {
    my ($x, $y, $to, $height, $colour, $title) = @_;
    return sprintf(qq{<rect x="%s" y="%s" width="%.1f" height="%s" fill="%s"><title>%s</title></rect>\n}, $x, $y, max($to - $x, 1), $height,
        $colour, $title);
}

sub life {
    my ($life, $x, $y, $colour) = @_;
    my @svg = bar($x->($life->{from}), $y + 2, $x->($life->{to}), ROW - 4, $colour,
        "epoch $life->{epoch} pid $life->{pid} restored $life->{restored} from event $life->{start}");

    push @svg, bar($x->($_), $y + 2, $x->($_), 4, '#fff', 'state written') for @{ $life->{dumps} };
    push @svg, bar($x->($life->{to}) - 2, $y + 1, $x->($life->{to}), ROW - 2, '#000', "dumped event $life->{dumped}") if defined $life->{dumped};
    return @svg;
}

# Those of a machine in its row above; those of etcd in all of them. A thin line goes through all rows below.
sub fault_rows {
    my ($cluster, $faults, $x, $height) = @_;
    my @machines = $cluster->machines;
    my @svg = map { text(4, TOP + ROW * $_ + 10, "faults $machines[$_]", '#a00') } 0 .. $#machines;

    for my $fault (@{$faults}) {
        my $y = TOP + ROW * index_of($fault->{machine}, @machines);
        my $colour = $fault->{large} ? '#d33' : '#e9a23b';
        push @svg, bar($x->($fault->{from}), $y + 1, $x->($fault->{to}), ROW - 3, $colour, "$fault->{kind} ($fault->{machine}, n$fault->{node}, $fault->{job})");
        push @svg, bar($x->($fault->{from}), $y, $x->($fault->{from}), $height - $y, $fault->{large} ? '#f3c0c0' : '#f3e3c8', $fault->{kind});
    }
    return @svg;
}

sub axis {
    my ($x, $zero, $end, $height) = @_;
    return map { text($x->($zero + $_), $height - 8, "${_}s") } grep { $_ % 5 == 0 } 0 .. int($end - $zero);
}

1;
