#!/usr/bin/perl
# What jobs write to stdout and stderr: line by line into the log, under their names, whatever it is and however much.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Fcntl qw(O_NONBLOCK O_RDONLY);
use POSIX ();
use Test::More;

use Graceful::Test qw(wait_for slurp alive);

my $box = Graceful::Test->new;

# The texts of the lines that a job wrote, as the log has them.
sub lines_of {
    my ($master, $job) = @_;
    return $master->log_text =~ /^\S+ +\w+ +job\[\d+\] +\Q$job\E: (.*)$/mg;
}

# Starts one job and waits until it said that it is up. It ends its output with a line "up".
sub start_job {
    my ($name, $start, $stop, $more) = @_;
    my $conf = $box->config($name, { $name => { command => $box->job($name, $start, $stop), %{ $more // {} } } });
    my $master = $box->start($conf);

    wait_for("$name to be up", sub { grep { $_ eq 'up' } lines_of($master, $name) });
    return $master;
}

sub stop_ok {
    my ($master) = @_;

    $master->signal('INT');
    return is($master->wait_exit, 0, "$master->{instance} stops");
}

subtest 'lines' => sub {
    my $master = start_job('lines', <<'END', 'printf "last words"');
echo to stdout
echo to stderr >&2
echo
printf 'in '; printf 'three '; printf 'pieces\n'
head -c 5000 /dev/zero | tr '\0' x; echo
echo up
END
    stop_ok($master);
    my @got = lines_of($master, 'lines');
    my @long = grep { /^x+$/ } @got;

    is_deeply([ grep { !/^x+$/ } @got ], [ 'to stdout', 'to stderr', '', 'in three pieces', 'up', 'last words' ],
        'both streams, in order, an empty line, and one without an end');
    is(length join('', @long), 5000, 'nothing of a long line is lost');
    cmp_ok(scalar @long, '>', 1, 'but it goes on in lines of its own');
    like($master->log_text, qr/job\[\d+\] +lines: last words\n/, 'an unended last line ends in the log');
};

subtest 'binary rubbish' => sub {
    my $master = start_job('rubbish', <<'END');
printf 'a\0b\033[2Jc\rd\177e\tf\n'
printf '\n2026-01-01T00:00:00.000Z info master[1] forged\r\n'
head -c 100000 /dev/urandom
printf '\nup\n'
END
    stop_ok($master);
    my $log = $master->log_text;

    like($log, qr/rubbish: a\?b\?\[2Jc\?d\?e\tf$/m, 'what is not text is shown as "?"');
    unlike($log, qr/[^\t\n\x20-\x7e\x80-\xff]/, 'no control character gets into the log');
    unlike($log, qr/^2026-01-01T00:00:00/m, 'no line can be forged');
};

subtest 'a flood' => sub {
    my $conf = $box->config('flood', {
        drop => { command => $box->job('drop', 'yes | head -c 20000000; touch "$dir/poured"', 'echo x | dump') },
        endless => { command => $box->job('endless', 'yes >&2 & touch "$dir/endless-up"', 'echo x | dump') },
    }, { log => { to => 'stderr', level => 'warn' } });
    my $master = $box->start($conf);

    wait_for('20 MB to be taken', sub { -e $box->path('poured') });
    wait_for('the endless one to be up', sub { -e $box->path('endless-up') });
    wait_for('the log of a lower level to be quiet', sub { $master->wait_state(drop => 'running') });
    stop_ok($master);
    is($master->job('endless')->{size}, 2, 'the dump of a job that floods is committed');
    is_deeply([ lines_of($master, 'drop') ], [], 'log.level "warn" drops the output of jobs');

    $conf = $box->config('spring', { spring => { command => $box->job('spring', 'touch "$dir/spring-up"; yes & ', 'echo x | dump') } });
    $master = $box->start($conf);
    wait_for('the spring to flow', sub { -e $box->path('spring-up') && -s $master->{log} > 100_000 });
    stop_ok($master);
    is($master->status->{jobs}{spring}{size}, 2, 'it dumped');
    truncate($master->{log}, 0);
};

subtest 'nobody reads the log' => sub {
    my $fifo = $box->path('fifo');
    my $conf = $box->config('stuck', { stuck => { command => $box->job('stuck', 'touch "$dir/stuck-up"; yes &', 'echo x | dump') } });
    my ($reader, $master);

    POSIX::mkfifo($fifo, 0600) or die "$fifo: $!";
    sysopen($reader, $fifo, O_RDONLY | O_NONBLOCK) or die "$fifo: $!";
    $master = $box->start($conf, sub { open(STDERR, '>', $fifo) });
    wait_for('the job to be up', sub { -e $box->path('stuck-up') });
    $master->wait_state(stuck => 'running');
    stop_ok($master);
    is($master->status->{jobs}{stuck}{size}, 2, 'the state was dumped all the same');
    close($reader);

    $conf = $box->config('widow', { widow => { command => $box->job('widow', 'touch "$dir/widow-up"; while echo line; do :; done &', 'echo x | dump') } });
    pipe(my $in, my $out) or die;
    $master = $box->start($conf, sub { open(STDERR, '>&', $out) });
    close($out);
    wait_for('the job to be up', sub { -e $box->path('widow-up') });
    close($in);
    $master->wait_state(widow => 'running');
    stop_ok($master);
    is($master->status->{jobs}{widow}{size}, 2, 'a log whose reader died does no harm');
};

subtest 'unusual descriptors' => sub {
    my $master = start_job('closed', 'echo up; exec >&- 2>&- <&-; touch "$dir/closed"', 'echo x | dump');
    my $pid;

    wait_for('the job to close its output', sub { -e $box->path('closed') });
    $pid = $master->wait_state(closed => 'running')->{job_pid};
    ok(alive($pid), 'a job that closed its output lives on');
    stop_ok($master);
    is($master->status->{jobs}{closed}{size}, 2, 'and dumps');

    $master = start_job('nonblock', <<'END');
perl -e 'use Fcntl; fcntl(STDOUT, F_SETFL, O_NONBLOCK) or die; print "now it does not block\n"'
( echo from a child ) &
wait $!
echo up
END
    stop_ok($master);
    is_deeply([ lines_of($master, 'nonblock') ], [ 'now it does not block', 'from a child', 'up' ], 'a pipe that the job made non-blocking');

    SKIP: {
        skip 'needs root', 2 if $> != 0;
        $master = start_job('opens', 'echo by name >/dev/stderr; echo and again >/dev/stdout; echo up', '', { user => 'nobody' });
        stop_ok($master);
        is_deeply([ lines_of($master, 'opens') ], [ 'by name', 'and again', 'up' ], '/dev/stdout can be opened by the user of a job');
    }
};

done_testing();
