package Graceful::Team;

# Masters that share one etcd, and jobs that count streams of events: who runs what, and whether all went well in the end.
#
#   my $team = Graceful::Team->new($etcd, [qw(clicks orders)], ttl => '5s');
#   my $web1 = $team->start('web-1');
#   $team->wait_running($web1);
#   ...
#   $team->finish;    # stops all; lost 0, duplicated 0, never two at once, nothing left in etcd
#
# Options of new(): ttl, job (more keys of each job), coordinator (a sub that returns the section for an instance), log.

use strict;
use warnings;

use Test::More;

use Graceful::Account;
use Graceful::Runs;
use Graceful::Test qw(wait_for);

sub new {
    my ($class, $etcd, $jobs, %options) = @_;
    my $box = Graceful::Test->new;
    my $self = bless({ etcd => $etcd, box => $box, jobs => $jobs, masters => {}, %options }, $class);

    for my $job (@$jobs) {
        $self->{runs}{$job} = Graceful::Runs->new($box, $job);
        $self->{account}{$job} = Graceful::Account->new($box, $job);
        $self->{account}{$job}->begin(200);
    }
    return $self;
}

sub box { return $_[0]{box} }
sub runs { my ($self, $job) = @_; return $self->{runs}{$job} }

sub config {
    my ($self, $instance) = @_;
    my %jobs;

    for my $job (@{ $self->{jobs} }) {
        my $command = $self->{runs}{$job}->command(@{ $self->{account}{$job}->command('--interval', 100) });
        $jobs{$job} = { command => $command, checkpoint => '200ms', %{ $self->{job} // {} } };
    }
    my $coordinator = $self->{coordinator} ? $self->{coordinator}->($instance) : $self->{etcd}->coordinator(ttl => $self->{ttl});
    return $self->{box}->config($instance, \%jobs, { coordinator => $coordinator });
}

# Also one that has ended.
sub start {
    my ($self, $instance) = @_;

    return $self->{masters}{$instance} = $self->{box}->start($self->config($instance));
}

# What each job is now, by its name: its facts in the status of the master that runs it, and {master}; none if no master does.
sub running {
    my ($self) = @_;
    my %now;

    for my $master (values %{ $self->{masters} }) {
        next if $master->ended;
        for my $job (@{ $self->{jobs} }) {
            my $facts = $master->job($job);
            $now{$job} = { %$facts, master => $master } if ($facts->{state} // '') eq 'running';
        }
    }
    return \%now;
}

# Waits until every job runs - at that master, if one is given - and has committed something since it was started.
sub wait_running {
    my ($self, $at) = @_;

    for my $job (@{ $self->{jobs} }) {
        wait_for("$job runs", sub {
            my $now = $self->running->{$job} // return;
            return (!$at || $now->{master} == $at) && $now->{ready} && ($now->{saved} // 0) >= ($now->{since} // 0);
        });
    }
    return $self->running;
}

# Waits until every job has committed a state that is newer than all before this call.
sub wait_commits {
    my ($self) = @_;
    my %before = map { $_ => $self->record_seq($_) } @{ $self->{jobs} };

    for my $job (@{ $self->{jobs} }) {
        wait_for("$job commits", sub { ($self->running->{$job}{seq} // 0) > $before{$job} });
    }
    return;
}

sub record_seq {
    my ($self, $job) = @_;

    return $self->running->{$job}{seq} // 0;
}

sub wait_standby {
    my ($self, $master) = @_;

    $master->wait_state($_ => 'standby') for @{ $self->{jobs} };
    return;
}

sub stop {
    my ($self, $master) = @_;

    $master->signal('INT');
    return $master->wait_exit;
}

# The end: everything is counted, everybody stops, nothing is left. Options: leases => 1: leases may be left, as etcd was not there
# when they should have been given back, or as they end too soon to be found; status => qr: exit statuses that will do.
sub finish {
    my ($self, %options) = @_;
    my @jobs = @{ $self->{jobs} };
    my $good = $options{status} // qr/^0$/;

    $self->{account}{$_}->end for @jobs;
    for my $job (@jobs) {
        wait_for("$job is counted to its end", sub {
            ($self->running->{$job}{status} // '') =~ /^$self->{account}{$job}{lines} lines/;
        });
    }
    for my $master (grep { !$_->ended } values %{ $self->{masters} }) {
        like($self->stop($master), $good, "$master->{instance} stops well") or diag($master->log_text);
    }
    $self->check_job($_) for @jobs;
    is_deeply([ grep { my $key = $_; grep { $key =~ m{/jobs/$_/} } @jobs } $self->{etcd}->keys_below_locks ], [], 'no place is left');
    ok($self->{etcd}->leases_become(0), 'no lease is left') unless $options{leases};
    return;
}

sub check_job {
    my ($self, $job) = @_;
    my $sum = $self->{account}{$job}->settle($self->{etcd}->value("/graceful/jobs/$job/state"));

    is("lost $sum->{lost}, duplicated $sum->{twice}", 'lost 0, duplicated 0', "the account of $job, $sum->{lines} lines");
    is_deeply([ $self->{runs}{$job}->faults ], [], "$job never ran twice at once");
    my @gaps = sort { $a <=> $b } $self->{runs}{$job}->gaps;
    note(sprintf('%s stood still %d times: %d ms (median), %d ms at most', $job, scalar @gaps, $gaps[ $#gaps / 2 ], $gaps[-1])) if @gaps;
    return;
}

1;
