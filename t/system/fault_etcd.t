#!/usr/bin/perl
# One death at each named point. With etcd, and a lease that nobody waits for. See t/lib/Graceful/Deaths.pm.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Deaths;

Graceful::Deaths::need('etcd');
Graceful::Deaths::play('etcd');

done_testing;
