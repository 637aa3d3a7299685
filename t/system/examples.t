#!/usr/bin/perl
# The example jobs that need no library: each through a start, a hand-over to another machine, a crash and a stop.
# handover.t does the same to tally, harder.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Test qw(wait_for slurp spew source_dir);

my $box = Graceful::Test->new;
my $examples = source_dir() . '/etc/examples';

sub state_of {
    my ($master, $job) = @_;
    return slurp("$master->{work_dir}/jobs/$job/state");
}

sub append {
    my ($path, $text) = @_;
    open(my $out, '>>', $path) or die "$path: $!";
    print {$out} $text;
    close($out) or die "$path: $!";
    return;
}

sub stop_ok {
    my ($master) = @_;

    $master->signal('INT');
    return is($master->wait_exit, 0, "$master->{instance} stops") || diag $master->log_text;
}

# Two masters of one job; the first runs it, the second waits for it.
sub two_masters {
    my ($name, $job) = @_;
    my $one = $box->start($box->config("$name-1", { $name => $job }));

    $one->wait_state($name => 'running');
    my $two = $box->start($box->config("$name-2", { $name => $job }));
    $two->wait_state($name => 'standby');
    return ($one, $two);
}

subtest 'count.sh' => sub {
    my ($one, $two) = two_masters('count', {
        command => [ "$examples/count.sh", '0.01' ], checkpoint => '100ms', checkpoint_signal => 'USR1', restart_min => '10ms',
    });
    my ($first, $second);

    wait_for('some ticks', sub { ($one->job('count')->{seq} // 0) >= 2 });
    stop_ok($one);
    $first = state_of($one, 'count');
    like($first, qr/^[1-9]\d*$/, 'a count');
    $two->wait_state(count => 'running');
    like($two->log_text, qr/ count: started the job .*restored=clean/, 'handed over');
    wait_for('it to go on', sub { state_of($two, 'count') > $first });
    kill 'KILL', $two->wait_state(count => 'running')->{job_pid};
    $two->wait_log(qr/ count: started the job .*restored=crash/, 'a new start');
    $second = state_of($two, 'count');
    wait_for('it to go on', sub { state_of($two, 'count') > $second });
    stop_ok($two);
    like($two->log_text, qr/ count: stopped at (\d+) ticks/, 'it tells its count');
    is(($two->log_text =~ /stopped at (\d+) ticks/)[0] + 0, state_of($two, 'count') + 0, 'which is the one in its state');
};

subtest 'count.sh: states that are none' => sub {
    for my $text ('', "\n", "many\n") {
        my $state = spew($box->path('count.state'), $text);
        my $said = qx(GRACEFUL_STATE='$state' '$examples/count.sh' 0.01 2>&1);
        is($? >> 8, 1, 'exit 1');
        like($said, qr/: not a count, and not overwritten/, 'says why');
        is(slurp($state), $text, 'and leaves it');
    }
};

subtest 'follow.py' => sub {
    plan skip_all => 'there is no python3 in /usr/bin' unless -x '/usr/bin/python3';
    my $events = spew($box->path('events'), "line\n" x 100);
    my ($one, $two) = two_masters('follow', {
        command => [ "$examples/follow.py", $events ], checkpoint => '100ms', checkpoint_signal => 'USR1', restart_min => '10ms',
        env => { PYTHONDONTWRITEBYTECODE => '1' },
    });
    my $lines = sub { my ($master) = @_; return state_of($master, 'follow') =~ /"lines": (\d+)/ ? $1 : -1 };

    wait_for('100 lines', sub { $lines->($one) == 100 });
    $one->wait_ready('follow');
    stop_ok($one);
    append($events, "between\n" x 10);
    wait_for('10 more', sub { $lines->($two) == 110 });
    kill 'KILL', $two->wait_state(follow => 'running')->{job_pid};
    append($events, "after a crash\nhalf a li");
    wait_for('one more', sub { $lines->($two) == 111 });
    append($events, "ne\n");
    wait_for('the half one', sub { $lines->($two) == 112 });
    stop_ok($two);
    is($lines->($two), 112, 'each line once');
};

subtest 'minimal.c' => sub {
    my $minimal = $ENV{MINIMAL} // $box->path('minimal-job');
    my @cc = split(' ', $ENV{CC} // 'cc');

    system("@cc -o '$minimal' '$examples/minimal.c' 2>'$box->{dir}/cc.log'") unless -x $minimal;
    plan skip_all => 'there is no compiler' unless -x $minimal;
    my ($one, $two) = two_masters('minimal', { command => [$minimal], stop_timeout => '60s' });

    my $pid = $one->wait_state(minimal => 'running')->{job_pid};
    wait_for('its handler of SIGINT', sub { slurp("/proc/$pid/status") =~ /^SigCgt:\s*([0-9a-f]+)$/m && hex(substr($1, -1)) & 2 });
    $one->signal('INT');
    $one->wait_log(qr/ minimal: cleaning up/, 'it cleans up');
    is($two->job('minimal')->{state}, 'standby', 'the other one waits meanwhile');
    is($one->wait_exit, 0, 'a job without a state stops in order');
    like($one->log_text, qr/ minimal: done/, 'its clean-up came to its end');
    $two->wait_state(minimal => 'running');
    $two->signal('TERM');
    is($two->wait_exit, 0, 'the other one as well');
};

done_testing();
