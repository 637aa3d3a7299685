package Bench::Start;

# Start and stop of many jobs in one master, beside supervisord.

use strict;
use warnings;

use Bench::Figures qw(now median heading row ms ratio);
use Bench::Jobs qw(new_box open_fifo last_stamp stamp_program stamp_jobs config start_peer end_peers settle find_program);
use Graceful::Test qw(spew);
use Time::HiRes qw(sleep);

use constant MANY => 200;

# Beside the status: the peer's own "startsecs".
use constant SETTLE => 1.5;

# Seconds from the start to the last job's first instruction, and from the signal to the exit.
sub round_of_graceful {
    my ($box, $fifo, $conf) = @_;
    my $begin = now();
    my $master = $box->start($conf);
    my $up = last_stamp($fifo, MANY) - $begin;

    settle(SETTLE);
    $begin = now();
    $master->signal('TERM');
    sleep(0.001) until $master->ended;
    my $down = now() - $begin;
    die $master->log_text if $master->wait_exit != 0;
    return ($up, $down);
}

sub round_of_supervisord {
    my ($box, $fifo, $program) = @_;
    my $conf = supervisord_conf($box, $fifo);
    my $begin = now();
    my $pid = start_peer($box->path('supervisord.out'), $program, '-n', '-c', $conf);
    my $up = last_stamp($fifo, MANY) - $begin;

    settle(SETTLE);
    $begin = now();
    kill('TERM', $pid);
    waitpid($pid, 0);
    my $down = now() - $begin;
    end_peers($pid);
    return ($up, $down);
}

sub supervisord_conf {
    my ($box, $fifo) = @_;
    my $dir = $box->dir;
    my $stamp = stamp_program();
    my $text = "[supervisord]\nlogfile=$dir/supervisord.log\npidfile=$dir/supervisord.pid\nchildlogdir=$dir\n";

    for my $name (sort keys %{ stamp_jobs($fifo, MANY, 0) }) {
        $text .= "[program:$name]\ncommand=$stamp $fifo->{path} $name 0\nstopsignal=INT\n";
    }
    return spew($box->path('supervisord.conf'), $text);
}

sub measure {
    my ($rounds, $supervisord) = @_;
    my (%up, %down);

    for my $round (1 .. $rounds) {
        my @kinds = (plain => 0, first => 4096, again => 4096);
        my $box;

        while (my ($kind, $size) = splice(@kinds, 0, 2)) {
            $box = new_box() unless $kind eq 'again';
            my $fifo = $box->{fifo} //= open_fifo($box);
            my ($up, $down) = round_of_graceful($box, $fifo, config($box, 'web-1', stamp_jobs($fifo, MANY, $size)));
            push @{ $up{$kind} }, $up;
            push @{ $down{$kind} }, $down;
        }
        next if !$supervisord;
        $box = new_box();
        my ($up, $down) = round_of_supervisord($box, open_fifo($box), $supervisord);
        push @{ $up{peer} }, $up;
        push @{ $down{peer} }, $down;
    }
    return { map { $_ => [ median(@{ $up{$_} }), median(@{ $down{$_} }) ] } keys %up };
}

sub run {
    my ($options) = @_;
    my $rounds = $options->{quick} ? 2 : 5;
    my $of = measure($rounds, scalar(find_program('supervisord')));
    my %title = (
        plain => 'graceful, jobs without a state',
        first => 'graceful, 4 KiB states, first start',
        again => 'graceful, 4 KiB states, restored',
    );

    heading(MANY, " jobs: until the last one began, and from SIGTERM until all is released. ms, median of $rounds");
    row('', 'start', 'stop');
    row('supervisord (no locks, no state)', ms(@{ $of->{peer} })) if $of->{peer};
    for my $kind (qw(plain first again)) {
        row($title{$kind}, ms(@{ $of->{$kind} }));
        row('  to supervisord', map { ratio($of->{$kind}[$_], $of->{peer}[$_]) } 0, 1) if $of->{peer};
    }
    print "  supervisord is not installed (apt-get install supervisor), so there is nothing to compare with\n" if !$of->{peer};
    return;
}

1;
