package Graceful::Proxy;

# A proxy between clients and one etcd, on a port of its own, that can come between them.
#
#   my $proxy = Graceful::Proxy->start($etcd->url(0), $log);
#   coordinator => $etcd->coordinator(endpoints => [ $proxy->url ])
#   $proxy->pause;                          # accepts connections and never answers; resume() delivers what came meanwhile
#   $proxy->cut;                            # ends every connection
#   $proxy->hold('/v3/kv/txn');             # keeps requests with that text back ...
#   wait_for('a commit', sub { $proxy->held });
#   $proxy->let_go;                         # ... and delivers them now, however late;
#   wait_for('answers', sub { !$proxy->owed });     # the client must not go before: etcd drops what nobody waits for
#   $proxy->mangle('compare', 'compbre');   # in all requests from now on; of the same length
#
# To $log it writes a line for each request that was answered: milliseconds of CLOCK_BOOTTIME when the request came by, and its path.
# Of TLS it sees nothing, but it can be paused and cut.

use strict;
use warnings;

use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM);
use POSIX qw(WUNTRACED);
use Time::HiRes qw(clock_gettime);

use Graceful::Test qw(slurp);

use constant CLOCK_BOOTTIME => 7;

sub start {
    my ($class, $url, $log) = @_;
    my ($scheme, $target) = $url =~ m{^(\w+)://(.*)$};
    my $listener = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1') // die "no free port: $!\n";
    socketpair(my $mine, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!\n";
    my $pid = fork() // die "cannot fork: $!\n";

    if ($pid == 0) {
        close($mine);
        $SIG{$_} = 'IGNORE' for qw(INT PIPE);
        run({ listener => $listener, target => $target, control => $its, log => $log, links => {}, held => 0 });
        POSIX::_exit(0);
    }
    close($its);
    $mine->autoflush(1);
    return bless({ pid => $pid, owner => $$, control => $mine, log => $log, url => "$scheme://127.0.0.1:" . $listener->sockport }, $class);
}

sub url { return $_[0]{url} }
sub cut { return $_[0]->ask('cut') }
sub hold { return $_[0]->ask("hold $_[1]") }
sub held { return $_[0]->ask('held') }
sub let_go { return $_[0]->ask('let_go') }
sub owed { return $_[0]->ask('owed') }
sub mangle { return $_[0]->ask("mangle $_[1] $_[2]") }

sub ask {
    my ($self, $what) = @_;

    print { $self->{control} } "$what\n";
    return 0 + readline($self->{control});
}

sub pause {
    my ($self) = @_;

    kill('STOP', $self->{pid});
    local $?;
    waitpid($self->{pid}, WUNTRACED);
    return;
}

sub resume { return kill('CONT', $_[0]{pid}) }

# When the last request to $path came by that was answered, in milliseconds of CLOCK_BOOTTIME.
sub last_answered {
    my ($self, $path) = @_;
    my ($at) = slurp($self->{log}) =~ /.*^(\S+) \Q$path\E$/ms;

    return $at;
}

sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;
    local $?;
    kill('KILL', $self->{pid});
    waitpid($self->{pid}, 0);
    return;
}

# --- the process

sub run {
    my ($p) = @_;

    $p->{control}->autoflush(1);
    $p->{select} = IO::Select->new($p->{listener}, $p->{control});
    open($p->{out}, '>>', $p->{log}) or die "$p->{log}: $!\n";
    $p->{out}->autoflush(1);
    while (1) {
        for my $socket ($p->{select}->can_read) {
            if ($socket == $p->{control}) { obey($p) or return }
            elsif ($socket == $p->{listener}) { greet($p) }
            elsif ($p->{links}{$socket}) { carry($p, $p->{links}{$socket}, $socket) }
        }
    }
    return;
}

sub obey {
    my ($p) = @_;
    my ($verb, @words) = split(' ', readline($p->{control}) // return 0);
    my $answer = 1;

    my @links = values %{ $p->{links} };

    if ($verb eq 'cut') { hang_up($p, $_) for @links }
    elsif ($verb eq 'hold') { $p->{hold} = $words[0] }
    elsif ($verb eq 'held') { $answer = grep { $_->{late} } @links }
    elsif ($verb eq 'owed') { $answer = grep { $_->{owed} } @links }
    elsif ($verb eq 'mangle') { $p->{mangle} = [@words] }
    elsif ($verb eq 'let_go') {
        delete $p->{hold};
        for my $link (@links) {
            my $late = delete $link->{late} // next;    # each link is in there twice
            syswrite($link->{server}, $late);
            $link->{owed} = 1;
        }
    }
    return print { $p->{control} } "$answer\n";
}

sub greet {
    my ($p) = @_;
    my $client = $p->{listener}->accept // return;
    my $server = IO::Socket::INET->new(PeerAddr => $p->{target});

    return close($client) if !$server;
    my $link = { client => $client, server => $server };
    $p->{links}{$_} = $link for $client, $server;
    return $p->{select}->add($client, $server);
}

sub hang_up {
    my ($p, $link) = @_;

    return if $link->{gone}++;
    for my $socket ($link->{client}, $link->{server}) {
        $p->{select}->remove($socket);
        delete $p->{links}{$socket};
        close($socket);
    }
    return;
}

sub carry {
    my ($p, $link, $from) = @_;
    my $to_server = $from == $link->{client};

    return hang_up($p, $link) if !sysread($from, my $data, 65536);
    return $to_server ? ask_server($p, $link, $data) : answer_client($p, $link, $data);
}

sub ask_server {
    my ($p, $link, $data) = @_;

    $link->{asked} = [ 1000 * clock_gettime(CLOCK_BOOTTIME), $1 ] if $data =~ /^POST (\S+)/;
    $data =~ s/\Q$p->{mangle}[0]\E/$p->{mangle}[1]/g if $p->{mangle};
    if (defined $link->{late} || ($p->{hold} && index($data, $p->{hold}) >= 0)) {
        $link->{late} = ($link->{late} // '') . $data;
        return;
    }
    return syswrite($link->{server}, $data);
}

sub answer_client {
    my ($p, $link, $data) = @_;
    my $asked = delete $link->{asked};

    delete $link->{owed};
    printf { $p->{out} } "%.3f %s\n", @$asked if $asked;
    return syswrite($link->{client}, $data);
}

1;
