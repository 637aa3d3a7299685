package Bench::Figures;

# Figures and how they are shown.

use strict;
use warnings;

use Exporter qw(import);
use Graceful::Test qw(slurp);
use POSIX ();
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

our @EXPORT_OK = qw(now median quantile heading row ms ratio row_of_gaps show_machine);

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# The value below which $share of them are.
sub quantile {
    my ($share, @values) = @_;
    my @sorted = sort { $a <=> $b } @values;

    return $sorted[ int($share * $#sorted + 0.5) ];
}

sub median { return quantile(0.5, @_) }

sub heading { return printf("\n%s\n", join('', @_)) }

sub row {
    my ($name, @cells) = @_;
    return printf("  %-40s%s\n", $name, join('', map { sprintf('%12s', $_) } @cells));
}

# Milliseconds, from seconds.
sub ms { return map { sprintf('%.2f', $_ * 1000) } @_ }

sub ratio { my ($ours, $theirs) = @_; return sprintf('%.2fx', $ours / $theirs) }

# Seconds. Headings of the columns: median, p90, p99, max.
sub row_of_gaps {
    my ($name, @gaps) = @_;
    return row($name, ms(median(@gaps), quantile(0.9, @gaps), quantile(0.99, @gaps), quantile(1, @gaps)));
}

sub show_machine {
    my ($model) = slurp('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)/m;
    my $cpus = () = slurp('/proc/cpuinfo') =~ /^processor/mg;
    my ($load) = slurp('/proc/loadavg') =~ /^(\S+)/;
    my ($system) = (POSIX::uname())[2];

    return printf("%d x %s, Linux %s, load %s\n", $cpus, $model // 'CPU', $system, $load);
}

1;
