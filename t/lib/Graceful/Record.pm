package Graceful::Record;

# The state that a record tells of, which is in the record, as it is or compressed, or in a file.

use strict;
use warnings;

use Compress::Zlib qw(uncompress);
use Exporter qw(import);
use Graceful::Test qw(slurp);
use MIME::Base64 qw(decode_base64);

our @EXPORT_OK = qw(is_inlined state_in);

# $record: as decoded from JSON, here and below.
sub is_inlined { return exists $_[0]{data} || exists $_[0]{zdata} }

# The bytes; '' where there is no state.
sub state_in {
    my ($record) = @_;

    return slurp($record->{url} =~ s{^file://}{}r) if defined $record->{url};
    return uncompress(decode_base64($record->{zdata})) // die "a state in a record is not compressed as it should be\n"
        if defined $record->{zdata};
    return decode_base64($record->{data} // '');
}

1;
