package Graceful::Chaos::Plan;

# Which fault comes when: drawn from a seed before anything runs, so that a seed and a time are all that it takes to have the same
# faults again.
#
#   my @plan = Graceful::Chaos::Plan->draw(seed => 1, seconds => 60, machines => [...], nodes => [...], jobs => [...], ttl => 10);
#   # only => 'kill worker': that alone; storm => 1: without times of calm
#   # { at => 3.2, kind => 'kill worker', machine => 'm2', node => 1, job => 'a', for => 0.7 }
#
# Times of calm, in which single processes suffer, take turns with storms, in which machines, networks and etcd do, too.

use strict;
use warnings;

use constant PHASE => 25;    # seconds

# weight, and how long it lasts: least and most, in seconds, or in leases ("ttl").
my %process = (
    'kill job' => [ 3, 0, 0 ],
    'kill worker' => [ 4, 0, 0 ],
    'kill standby' => [ 2, 0, 0 ],
    'kill master' => [ 2, 0, 0.5 ],
    'stop job' => [ 1, 0.3, 2 ],
    'stop worker' => [ 1, 0.3, 2 ],
    'stop master' => [ 1, 0.3, 2 ],
    'graceful stop' => [ 2, 0, 1 ],
    'hand over' => [ 3, 0, 0 ],
    'checkpoint' => [ 1, 0, 0 ],
    'reload' => [ 1, 0, 0 ],
    'drain' => [ 1, 1, 3 ],
);
my %machine = (
    'kill machine' => [ 3, 0, 2 ],
    'suspend machine' => [ 1, 'ttl', 0 ],
    'hang worker' => [ 2, 'ttl', 0 ],
    'cut machine' => [ 3, 'ttl', 0 ],
    'slow machine' => [ 1, 2, 6 ],
    'kill node' => [ 2, 1, 5 ],
    'stop node' => [ 2, 1, 6 ],
    'slow node' => [ 1, 2, 6 ],
    'isolate node' => [ 2, 2, 6 ],
    'fill disk' => [ 2, 1, 3 ],
);

# All that is about more than one process: gaps beside these may last as long as a lease.
sub is_large { return exists $machine{ $_[1] } }
sub kinds { return (sort(keys %process), sort(keys %machine)) }

sub draw {
    my ($class, %with) = @_;
    my (@plan, $at);

    srand($with{seed});
    for ($at = 2; $at < $with{seconds}; $at += $with{pause} * (0.4 + rand(1.2))) {
        my $storm = $with{storm} || int($at / PHASE) % 2;
        my $kinds = $storm && rand() < 0.6 ? \%machine : \%process;
        push @plan, one(\%with, $at, $kinds);
    }
    return @plan;
}

sub one {
    my ($with, $at, $kinds) = @_;
    my $kind = $with->{only} // pick_kind($kinds);
    my (undef, $least, $most) = @{ $process{$kind} // $machine{$kind} // die "no fault is called \"$kind\"\n" };

    return {
        at => $at, kind => $kind,
        machine => any(@{ $with->{machines} }), node => any(@{ $with->{nodes} }), job => any(@{ $with->{jobs} }),
        for => $least eq 'ttl' ? $with->{ttl} * (0.2 + rand(1.3)) : $least + rand($most - $least),
    };
}

sub any { return $_[rand(@_)] }

sub pick_kind {
    my ($kinds) = @_;
    my $sum = 0;

    $sum += $_->[0] for values %{$kinds};
    my $at = rand($sum);
    for my $kind (sort keys %{$kinds}) {
        $at -= $kinds->{$kind}[0];
        return $kind if $at < 0;
    }
    die "no kind\n";
}

1;
