package Graceful::Chaos::Faults;

# Carries the faults of a plan out, and ends those that last.
#
#   my $faults = Graceful::Chaos::Faults->new($cluster);
#   $faults->begin($fault);
#   $faults->tick;          # ends what has lasted long enough
#   $faults->end_all;
#   $faults->log            # { kind, large, from, to, machine, pids (of the processes that it hit), … } of all that hit something

use strict;
use warnings;

use Graceful::Chaos::Plan;
use Graceful::Test;

my %ways = (
    'kill job' => sub { my ($c, $f) = @_; return signal($c, $f, 'KILL', $c->job_pid_of(owner($c, $f), $f->{job})) },
    'kill worker' => sub { my ($c, $f) = @_; return signal($c, $f, 'KILL', $c->worker_of(owner($c, $f), $f->{job})) },
    'kill standby' => sub { my ($c, $f) = @_; return signal($c, $f, 'KILL', $c->worker_of(other($c, $f), $f->{job})) },
    'kill master' => \&kill_master,
    'stop job' => sub { my ($c, $f) = @_; return suspend($c, $f, $c->job_pid_of(owner($c, $f), $f->{job})) },
    'stop worker' => sub { my ($c, $f) = @_; return suspend($c, $f, $c->worker_of(owner($c, $f), $f->{job})) },
    'hang worker' => sub { my ($c, $f) = @_; return suspend($c, $f, $c->worker_of(owner($c, $f), $f->{job})) },
    'stop master' => sub { my ($c, $f) = @_; return suspend($c, $f, $c->master($f->{machine})->pid) },
    'graceful stop' => \&stop_master,
    'hand over' => sub { my ($c, $f) = @_; return signal($c, $f, 'INT', $c->worker_of(owner($c, $f), $f->{job})) },
    'checkpoint' => sub { my ($c, $f) = @_; return signal($c, $f, 'USR1', $c->master($f->{machine})->pid) },
    'reload' => sub { my ($c, $f) = @_; return signal($c, $f, 'HUP', $c->master($f->{machine})->pid) },
    'drain' => \&drain,
    'kill machine' => sub { my ($c, $f) = @_; $f->{pids} = [ map { 0 + $_ } $c->kill_machine($f->{machine}) ]; return back($c, $f) },
    'suspend machine' => sub { my ($c, $f) = @_; return suspend($c, $f, $c->processes_of($f->{machine})) },
    'cut machine' => sub { my ($c, $f) = @_; $c->wire->cut($f->{machine}); return sub { $c->wire->heal($f->{machine}) } },
    'slow machine' => sub { my ($c, $f) = @_; $c->wire->slow($f->{machine}, 0.3); return sub { $c->wire->quicken($f->{machine}) } },
    'isolate node' => sub { my ($c, $f) = @_; $c->wire->cut("n$f->{node}"); return sub { $c->wire->heal("n$f->{node}") } },
    'kill node' => \&kill_node,
    'stop node' => \&stop_node,
    'slow node' => \&slow_node,
    'fill disk' => \&fill_disk,
);

my $suspends = qr/^(?:suspend machine|hang worker|stop (?:job|worker|master))\z/;

# Which others are over when one begins at the same machine or node, as it ends what they did: otherwise the log would say that they last.
my %ends = (
    'kill node' => qr/^(?:stop|slow) node\z/,
    'stop node' => qr/^slow node\z/,
    'slow node' => qr/^slow node\z/,
    'kill machine' => qr/$suspends|^drain\z/,
    'kill master' => qr/^(?:stop master|drain)\z/,
    'graceful stop' => qr/^drain\z/,
    'reload' => qr/^drain\z/,
    'drain' => qr/^drain\z/,
    'fill disk' => qr/^fill disk\z/,
);

sub new {
    my ($class, $cluster) = @_;
    return bless({ cluster => $cluster, log => [], lasting => [] }, $class);
}

sub log { return @{ $_[0]{log} } }

sub owner {
    my ($c, $f) = @_;
    return $f->{machine} = $c->owner_of($f->{job}) // $f->{machine};
}

sub other {
    my ($c, $f) = @_;
    my $owner = $c->owner_of($f->{job}) // '';

    return $f->{machine} = (grep { $_ ne $owner } $c->machines)[0];
}

# A status file may be of a moment ago: a number that is somebody else's by now is left alone.
sub ours {
    my ($c, $f, @pids) = @_;
    return grep { $_ && $c->belongs($f->{machine}, $_) } @pids;
}

sub signal {
    my ($c, $f, $name, $pid) = @_;
    $f->{pids} = [ ours($c, $f, $pid) ];
    return @{ $f->{pids} } && kill($name, $pid) ? sub { } : undef;
}

# A process that was suspended twice goes on when both are over: its end is told which are held by others as yet.
sub suspend {
    my ($c, $f, @pids) = @_;

    @pids = ours($c, $f, @pids) or return;
    $f->{pids} = [@pids];
    return kill('STOP', @pids) ? sub { my ($held) = @_; kill('CONT', ours($c, $f, grep { !$held->{$_} } @pids)) } : undef;
}

# A master that ended comes back, as an init system sees to it.
sub back {
    my ($c, $f) = @_;
    return sub { $c->start_master($f->{machine}) if $c->master($f->{machine})->ended };
}

sub kill_master {
    my ($c, $f) = @_;

    return if $c->master($f->{machine})->ended;
    $c->master($f->{machine})->signal('KILL');
    $c->master($f->{machine})->wait_exit;
    return back($c, $f);
}

sub stop_master {
    my ($c, $f) = @_;
    my $master = $c->master($f->{machine});

    return if $master->ended || !$master->signal('INT');
    return sub { return $master->ended ? back($c, $f)->() : 'not yet' };
}

sub drain {
    my ($c, $f) = @_;
    my $master = $c->master($f->{machine});

    return if $master->ended || !$master->signal('WINCH');
    return sub { $master->signal('HUP') if !$master->ended };
}

sub kill_node {
    my ($c, $f) = @_;

    return if !$c->etcd->pid($f->{node});
    $c->etcd->kill_node($f->{node});
    return sub { $c->etcd->run_node($f->{node}); $c->note_node($f->{node}) };
}

sub stop_node {
    my ($c, $f) = @_;

    return if !grep { $_ == $f->{node} } $c->etcd->live_nodes;
    $c->etcd->pause($f->{node});
    return sub { $c->etcd->resume($f->{node}) };
}

sub slow_node {
    my ($c, $f) = @_;

    return if !grep { $_ == $f->{node} } $c->etcd->live_nodes;
    $c->etcd->stutter($f->{node});
    return sub { $c->etcd->steady($f->{node}) };
}

sub fill_disk {
    my ($c) = @_;
    my $path = ($c->{mounted} // return) . '/filler';

    open(my $out, '>', $path) or return;
    while (syswrite($out, 'x' x 65536)) { }
    return sub { unlink($path) };
}

sub begin {
    my ($self, $fault) = @_;
    my $c = $self->{cluster};
    my $from = $c->now;
    my $undo = $ways{ $fault->{kind} }->($c, $fault) // return;
    my %entry = (%{$fault}, large => Graceful::Chaos::Plan->is_large($fault->{kind}), from => $from, to => $c->now + $fault->{for});

    $self->end_others(\%entry);
    push @{ $self->{log} }, \%entry;
    push @{ $self->{lasting} }, { entry => \%entry, undo => $undo };
    return 1;
}

sub end_others {
    my ($self, $entry) = @_;
    my $kinds = $ends{ $entry->{kind} } // return;
    my $at = $entry->{kind} =~ /node\z/ ? 'node' : $entry->{kind} eq 'fill disk' ? 'kind' : 'machine';
    my $is_over = sub { $_[0]{kind} =~ $kinds && $_[0]{$at} eq $entry->{$at} };

    $_->{to} = $entry->{from} for grep { $is_over->($_) } map { $_->{entry} } @{ $self->{lasting} };
    $self->{lasting} = [ grep { !$is_over->($_->{entry}) } @{ $self->{lasting} } ];
    return;
}

sub tick {
    my ($self) = @_;
    my $now = $self->{cluster}->now;
    my @due = grep { $_->{entry}{to} <= $now } @{ $self->{lasting} };

    $self->{lasting} = [ grep { $_->{entry}{to} > $now } @{ $self->{lasting} } ];
    my %held = map { $_ => 1 } map { @{ $_->{pids} // [] } } grep { $_->{kind} =~ $suspends } map { $_->{entry} } @{ $self->{lasting} };
    for my $one (@due) {
        my $said = $one->{undo}->(\%held) // '';
        $one->{entry}{to} = $now;
        push @{ $self->{lasting} }, $one if $said eq 'not yet';
    }
    return;
}

sub end_all {
    my ($self) = @_;

    $_->{entry}{to} = 0 for @{ $self->{lasting} };
    Graceful::Test::wait_for('all faults have ended', sub { $self->tick; !@{ $self->{lasting} } });
    return;
}

1;
