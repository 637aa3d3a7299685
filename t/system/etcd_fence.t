#!/usr/bin/perl
# A whole machine - master, worker and job - is suspended while its commit is on the way, for longer than its lease. Another one takes
# over. Whatever the first one did then becomes visible to nobody when it wakes: no key in etcd, no state that a record names, no line
# behind a fence that goes by the epoch. And without the comparison in the transaction the same test would notice.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Test::More;

use Graceful::Etcd;
use Graceful::Proxy;
use Graceful::Test qw(end_of slurp wait_for);

plan(skip_all => 'etcd is not installed') unless Graceful::Etcd->installed;

my $etcd = Graceful::Etcd->start;

# A job that adds a line to its state every 20 ms, and tells it to a sink, with its epoch.
sub command {
    my ($box, $name) = @_;

    return $box->job($name, <<'END', 'echo stopped | cat "$GRACEFUL_STATE" - | dump');
while read -r -t 0.02 -u 9 || true; do
    echo "$GRACEFUL_EPOCH $GRACEFUL_INSTANCE" | cat "$GRACEFUL_STATE" - 2>/dev/null | dump
    echo "$GRACEFUL_EPOCH $GRACEFUL_INSTANCE" >>"$dir/sink"
done
END
}

# What a sink takes that refuses every epoch below the highest it has seen.
sub taken {
    my $highest = 0;

    return grep { my ($epoch) = split; my $good = $epoch >= $highest; $highest = $epoch if $good; $good } split(/\n/, $_[0]);
}

sub config {
    my ($box, $name, $instance, $ttl, $endpoint, $checkpoint) = @_;
    my %job = (command => command($box, $name), checkpoint => $checkpoint);

    return $box->config($instance, { $name => \%job }, {
        state => { url => 'file://' . $box->path('store'), inline_max => '0B' },
        coordinator => $etcd->coordinator(ttl => $ttl, endpoints => [$endpoint]),
    });
}

# All that others can see of a job: who owns it, its record and the bytes that this names.
sub visible {
    my ($name) = @_;
    my ($first) = $etcd->keys_below("/graceful/jobs/$name/lock/");
    my $record = $etcd->value("/graceful/jobs/$name/state");
    my ($path) = $record eq '' ? '' : decode_json($record)->{url} =~ m{^file://(.*)};

    return { first => $first, record => $record, owner => $etcd->value("/graceful/jobs/$name/owner"), sha256 => sha256_hex(slurp($path)) };
}

# The PIDs of a master and of all below it, the youngest first.
sub machine { return reverse($_[0]->pid, $_[0]->descendants) }

# Plays it; returns what is visible before the first machine wakes, and when it has found out what happened.
sub play {
    my ($box, $name, @mangle) = @_;
    my $proxy = Graceful::Proxy->start($etcd->url(0), $box->path('proxy'));
    $proxy->mangle(@mangle) if @mangle;
    my $first = $box->start(config($box, $name, 'first', '6s', $proxy->url, '200ms'));
    wait_for('a commit', sub { ($first->job($name)->{seq} // 0) >= 1 });

    # The commit waits on the way, and the machine sleeps.
    $proxy->hold('/v3/kv/txn');
    my @machine = machine($first);
    while (1) {
        wait_for('the next one is under way', sub { $proxy->held });
        kill('STOP', @machine);
        # Not one that the worker gave up just then. The proxy answers the second time when it has read all that came before.
        last if $proxy->held && $proxy->held;
        kill('CONT', @machine);
    }
    my $next = $box->start(config($box, $name, 'next', '15s', $etcd->url(0), '1h'));
    $next->wait_state($name => 'running');
    my $taken_over = $next->job($name);
    wait_for('it has written', sub { slurp($box->path('sink')) =~ /next/ });
    $next->signal('USR1');
    wait_for('it has committed', sub { ($next->job($name)->{seq} // 0) > ($taken_over->{seq} // 0) });
    my $before = visible($name);

    # It wakes: first the network, then the job, which writes, then all. The worker would hang up at once, and etcd drops a
    # request whose client has gone: both tests need it carried out.
    $proxy->let_go;
    wait_for('etcd has answered the late commit', sub { !$proxy->owed });
    my @job = grep { slurp("/proc/$_/environ") =~ /GRACEFUL_EPOCH/ } @machine;
    my @job_ends = map { end_of($_) } @job;
    kill('CONT', @job);
    wait_for('the old job writes on', sub { slurp($box->path('sink')) =~ /next.*first/s });
    kill('CONT', @machine);
    $first->wait_log(qr/$name: .*(?:the lock is lost|the worker hangs|could not be committed)/, 'it finds out');
    wait_for('its old job is gone', sub { !grep { !$_->() } @job_ends });
    $first->wait_state($name => 'standby');
    my $after = visible($name);
    my $taken = join("\n", taken(slurp($box->path('sink'))));

    $_->signal('INT') for $first, $next;
    my @status = map { $_->wait_exit } $first, $next;
    return { before => $before, after => $after, taken => $taken, status => \@status };
}

subtest 'nothing of it becomes visible' => sub {
    my $box = Graceful::Test->new;
    my $seen = play($box, 'fenced');

    is_deeply($seen->{after}, $seen->{before}, 'etcd and the store are as they were');
    is(decode_json($seen->{after}{record})->{sha256}, $seen->{after}{sha256}, 'the state is the one that the record names');
    like($seen->{taken}, qr/first.*next/s, 'the sink has taken the new epoch');
    unlike($seen->{taken}, qr/next.*first/s, 'and nothing of the old one after it');
    is($seen->{status}[1], 0, 'the next one stops well');
};

# A field that etcd does not know is one that it passes over without a word.
subtest 'without the comparison it would' => sub {
    my $box = Graceful::Test->new;
    my $seen = play($box, 'open', '"compare":', '"compbre":');

    isnt($seen->{after}{record}, $seen->{before}{record}, 'the late commit has replaced the record, and the test above would say so');
    is(decode_json($seen->{after}{record})->{instance}, 'first', 'by that of the first machine');
};

done_testing;
