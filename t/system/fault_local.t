#!/usr/bin/perl
# One death at each named point. With the local coordinator. See t/lib/Graceful/Deaths.pm.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Deaths;

Graceful::Deaths::need('local');
Graceful::Deaths::play('local');

done_testing;
