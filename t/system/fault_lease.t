#!/usr/bin/perl
# One death at each named point. With etcd, processes that hang and dumps that take longer than the lease. See t/lib/Graceful/Deaths.pm.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Deaths;

Graceful::Deaths::need('short lease');
Graceful::Deaths::play('short lease');
Graceful::Deaths::play_long_dumps();

done_testing;
