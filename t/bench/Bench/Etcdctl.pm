package Bench::Etcdctl;

# The same job under `etcdctl lock NAME COMMAND`, which releases the lock when the command has ended. The job leaves its
# state itself, in a file that all "machines" share; nothing is committed to etcd.

use strict;
use warnings;

use Bench::Jobs qw(new_box open_fifo stamp_program start_peer child_of);
use Graceful::Test qw(wait_for);
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use parent 'Bench::Queue';

sub new {
    my ($class, $etcd, $size) = @_;
    my $box = new_box(1);
    my $self = bless({ box => $box, fifo => open_fifo($box), etcd => $etcd, size => $size, name => "/peer-$size", pids => [] }, $class);

    return $self->fill;
}

sub queue_one {
    my ($self) = @_;
    push @{ $self->{pids} }, start_etcdctl($self->{box}, $self->{etcd}, $self->{name}, $self->{fifo}, $self->{size});
    return;
}

# Returns its pid.
sub start_etcdctl {
    my ($box, $etcd, $name, $fifo, $size) = @_;

    local $ENV{ETCDCTL_API} = 3;
    return start_peer($box->path('etcdctl.out'), 'etcdctl', '--endpoints', join(',', $etcd->endpoints), 'lock', '--ttl', 15, $name,
        stamp_program(), $fifo->{path}, 'job001', $size, "$box->{disk}/state");
}

# Keys in the queue of this lock.
sub queue_length {
    my ($etcd, $name) = @_;
    my %range = (key => "$name/", range_end => "${name}0");
    my $body = encode_json({ (map { $_ => encode_base64($range{$_}, '') } keys %range), count_only => JSON::PP::true });
    my $answer = HTTP::Tiny->new(timeout => 10)->post($etcd->url(0) . '/v3/kv/range', { content => $body });

    die "cannot ask etcd: $answer->{content}\n" if !$answer->{success};
    return decode_json($answer->{content})->{count} // 0;
}

sub ready {
    my ($self) = @_;

    return if $self->{job};
    $self->{job} = child_of($self->{pids}[0]);
    wait_for('etcdctl to wait', sub { queue_length($self->{etcd}, $self->{name}) == 2 });
    return;
}

# The signal goes to the job, as that of a terminal would: etcdctl itself passes none on.
sub signalled { return delete $_[0]{job} }

1;
