package Graceful::Chaos::Wire;

# The network of the chaos runner: a process that forwards connections on the loopback, and cuts or slows them when told.
#
#   my $wire = Graceful::Chaos::Wire->start([ { port => 4001, target => 2379, from => 'm1', to => 'n0', node => 0 }, … ], $log);
#   $wire->cut('m1');      # nothing passes from or to m1 any more; connections stay open, as in a real network
#   $wire->heal('m1');
#   $wire->slow('m1', 0.2);
#   $wire->quicken('m1');
#
# Who was cut twice has to be healed twice; likewise with slow.
#
# from => undef: whoever it is that connects. He is found by his process: pids_of('n1', 4711) tells whose that is.
#
# To $log it writes a line for each grant or renewal of a lease that has passed: seconds of CLOCK_BOOTTIME, the lease in hexadecimal, the node.

use strict;
use warnings;

use Errno;
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(clock_gettime time);

use Graceful::Test qw(slurp);

use constant CLOCK_BOOTTIME => 7;
use constant CHUNK => 65536;

sub start {
    my ($class, $routes, $log) = @_;
    my @listeners = map { +{ %{$_}, socket => listen_at($_->{port}) } } @{$routes};

    pipe(my $read, my $write) or die "pipe: $!\n";
    my $pid = fork() // die "fork: $!\n";
    if ($pid == 0) {
        close($write);
        $SIG{$_} = 'IGNORE' for qw(INT PIPE);
        open(my $out, '>>', $log) or die "$log: $!\n";
        $out->autoflush(1);
        bless({ listeners => \@listeners, orders => $read, log => $out, links => [], slow => {}, cut => {}, pids => {} }, $class)->serve;
        POSIX::_exit(0);
    }
    $write->autoflush(1);
    return bless({ pid => $pid, orders => $write, log => $log }, $class);
}

sub listen_at {
    my ($port) = @_;
    return IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1)
        // die "cannot listen at $port: $!\n";
}

sub pid { return $_[0]{pid} }
sub cut { my ($self, $who) = @_; return print { $self->{orders} } "cut $who\n" }
sub slow { my ($self, $who, $delay) = @_; return print { $self->{orders} } "slow $who $delay\n" }
sub heal { my ($self, $who) = @_; return print { $self->{orders} } "heal $who\n" }
sub quicken { my ($self, $who) = @_; return print { $self->{orders} } "quicken $who\n" }
sub pids_of { my ($self, $who, $pid) = @_; return print { $self->{orders} } "pid $who $pid\n" }

# By lease: [ time, node ] of each renewal that has passed, in order.
sub renewals {
    my ($self) = @_;
    my %renewals;

    for my $line (split(/\n/, slurp($self->{log}))) {
        my ($time, $lease, $node) = split(' ', $line);
        push @{ $renewals{$lease} }, [ $time, $node ];
    }
    return %renewals;
}

sub stop {
    my ($self) = @_;

    close($self->{orders});
    local $?;
    kill('KILL', $self->{pid});
    waitpid($self->{pid}, 0);
    return;
}

# ---- In the process ----

sub obey {
    my ($self) = @_;

    sysread($self->{orders}, my $text, 4096) or POSIX::_exit(0);
    for (split(/\n/, $text)) {
        my ($verb, $who, $value) = split;
        if ($verb eq 'cut') { $self->{cut}{$who}++ }
        elsif ($verb eq 'heal') { $self->{cut}{$who}-- }
        elsif ($verb eq 'slow') { push @{ $self->{slow}{$who} }, $value }
        elsif ($verb eq 'quicken') { shift @{ $self->{slow}{$who} } }
        elsif ($verb eq 'pid') { $self->{pids}{$value} = $who }
    }
    return;
}

# Who has the other end of a connection from this port of ours: in the kernel's table, by the inode of the socket.
sub find_peer {
    my ($self, $port) = @_;
    my $wanted = sprintf(':%04X', $port);
    my $inode;

    open(my $in, '<', '/proc/net/tcp') or return;
    while (my $line = <$in>) {
        my @field = split(' ', $line);
        $inode = $field[9] if $field[1] =~ /$wanted\z/;
    }
    return if !$inode;
    for my $pid (keys %{ $self->{pids} }) {
        for my $fd (glob("/proc/$pid/fd/*")) {
            return $self->{pids}{$pid} if (readlink($fd) // '') eq "socket:[$inode]";
        }
    }
    return;
}

sub take {
    my ($self, $listener) = @_;
    my $near = $listener->{socket}->accept or return;
    my $from = $listener->{from} // $self->find_peer($near->peerport) // '?';
    my $far = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $listener->{target});

    return if !$far;
    my %link = (ends => [ $from, $listener->{to} ], node => $listener->{node});
    $link{near} = { socket => $near, other => 'far', todo => [] };
    $link{far} = { socket => $far, other => 'near', todo => [] };
    $_->blocking(0) for $near, $far;
    push @{ $self->{links} }, \%link;
    return;
}

sub is_cut {
    my ($self, $link) = @_;
    return scalar grep { $self->{cut}{$_} } @{ $link->{ends} };
}

sub delay_of {
    my ($self, $link) = @_;
    my ($delay) = map { @{ $self->{slow}{$_} // [] } } @{ $link->{ends} };

    return $delay // 0;
}

sub drop {
    my ($link) = @_;

    close($link->{$_}{socket}) for qw(near far);
    $link->{gone} = 1;
    return;
}

# The lease that a client's bytes ask for, or ask to renew. What is asked for and which lease may come one after the other.
sub renewal_in {
    my ($link, $data) = @_;

    $link->{renews} = $1 =~ m{^/v3/lease/(?:grant|keepalive)\z} if $data =~ /^POST (\S+)/;
    return $link->{renews} && $data =~ /"ID":"?(\d+)/ ? sprintf('%x', $1) : undef;
}

# What arrived waits for its time, and goes on to the other end.
sub pull {
    my ($self, $link, $side) = @_;
    my $n = sysread($link->{$side}{socket}, my $data, CHUNK);

    return if !defined $n && $!{EAGAIN};
    return drop($link) if !$n;
    push @{ $link->{ $link->{$side}{other} }{todo} },
        [ time() + $self->delay_of($link), $data, $side eq 'near' ? renewal_in($link, $data) : undef ];
    return;
}

sub push_on {
    my ($self, $link, $side) = @_;
    my $todo = $link->{$side}{todo};

    while (@{$todo} && $todo->[0][0] <= time()) {
        my $n = syswrite($link->{$side}{socket}, $todo->[0][1]);
        return if !defined $n && $!{EAGAIN};
        return drop($link) if !defined $n;
        substr($todo->[0][1], 0, $n, '');
        return if $todo->[0][1] ne '';
        my (undef, undef, $lease) = @{ shift @{$todo} };
        printf { $self->{log} } "%.3f %s %s\n", clock_gettime(CLOCK_BOOTTIME), $lease, $link->{node} if defined $lease;
    }
    return;
}

sub turn {
    my ($self) = @_;
    my @open = grep { !$self->is_cut($_) } @{ $self->{links} };
    my %owner;

    for my $link (@open) {
        for my $side (qw(near far)) {
            # One end that does not take its bytes must not fill our memory.
            next if @{ $link->{ $link->{$side}{other} }{todo} } >= 64;
            $owner{ fileno($link->{$side}{socket}) } = [ $link, $side ];
        }
    }
    my $select = IO::Select->new($self->{orders}, (map { $_->{socket} } @{ $self->{listeners} }),
        map { $_->[0]{ $_->[1] }{socket} } values %owner);
    my $busy = grep { @{ $_->{near}{todo} } || @{ $_->{far}{todo} } } @open;
    my %ready = map { fileno($_) => 1 } $select->can_read($busy ? 0.005 : 0.5);

    $self->obey if $ready{ fileno($self->{orders}) };
    $self->take($_) for grep { $ready{ fileno($_->{socket}) } } @{ $self->{listeners} };
    for my $fd (grep { $ready{$_} } keys %owner) {
        my ($link, $side) = @{ $owner{$fd} };
        $self->pull($link, $side) if !$link->{gone};
    }
    for my $link (@open) {
        for my $side (qw(near far)) { $self->push_on($link, $side) if !$link->{gone} }
    }
    $self->{links} = [ grep { !$_->{gone} } @{ $self->{links} } ];
    return;
}

sub serve {
    my ($self) = @_;

    $self->turn while 1;
    return;
}

1;
