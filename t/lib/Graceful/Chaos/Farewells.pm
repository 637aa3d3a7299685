package Graceful::Chaos::Farewells;

# Which places in a queue their workers gave up without being able to give them back: from the logs of the masters. No I/O.
#
#   my @farewells = Graceful::Chaos::Farewells::read_log($text, $offset);    # { pid, job, at }
#
# at: when the worker said so last, in CLOCK_BOOTTIME; offset: see Leaders.pm. That it said so is no excuse (Gaps.pm asks for one).

use strict;
use warnings;

use Graceful::Chaos::Leaders;

my $said = qr/the lock is lost|cannot release the lock|could not be committed and stays there|the place in the queue (?:back|is left)/;

sub read_log {
    my ($text, $offset) = @_;
    my %last;

    for my $line (grep { $_ =~ $said } split(/\n/, $text)) {
        my ($stamp, $pid, $job) = $line =~ /^(\S+) \w+ +worker\[(\d+)\] +(\S+): / or next;
        $last{$pid} = { pid => $pid, job => $job, at => $offset + (Graceful::Chaos::Leaders::seconds($stamp) // next) };
    }
    return map { $last{$_} } sort { $a <=> $b } keys %last;
}

1;
