#!/usr/bin/perl
# What configure is told of the files for init systems, and where `make install` puts them.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Test qw(build_dir source_dir slurp);

my ($source, $build) = (source_dir(), build_dir());
plan(skip_all => 'no configure here') if !-x "$source/configure";
plan(skip_all => 'the source directory is configured itself, and then no other can be') if -e "$source/config.status";

my $box = Graceful::Test->new;
my $root = $box->path('root');

# Those of a make that runs this test.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL DESTDIR)};

# As the build was configured, and with these options more. Returns the exit status and stderr.
sub configure {
    my (@options) = @_;
    my $as_before = qx('$build/config.status' --config);

    $as_before =~ s/\s+\z//;
    mkdir($box->path('build'));
    my ($rc, undef, $err) = $box->run('sh', '-c', 'cd "$1" && shift && exec "$@"' . " $as_before --prefix=/p --sysconfdir=/p/etc "
        . join(' ', @options), 'sh', $box->path('build'), "$source/configure", '-q', '-C');

    return ($rc, $err);
}

# The files for init systems that this puts below $root, and nothing beside it.
sub installed {
    my ($rc, undef, $err) = $box->run('make', '-s', '-C', $box->path('build'), 'init/graceful.conf', 'init/graceful.service',
        'etc/graceful.json');
    is($rc, 0, 'the files are made') or diag($err);
    ($rc, undef, $err) = $box->run('make', '-s', '-C', $box->path('build'), "DESTDIR=$root", 'install-data-local',
        'install-nodist_systemdsystemunitDATA');
    is($rc, 0, 'and installed') or diag($err);
    my $found = join(' ', sort map { s/^\Q$root\E//r } split(/\n/, qx(find '$root' -type f)));
    is(join(' ', glob("$root?*")), '', 'no directory beside it');
    ($rc, undef, $err) = $box->run('make', '-s', '-C', $box->path('build'), "DESTDIR=$root", 'uninstall-local',
        'uninstall-nodist_systemdsystemunitDATA');
    is(qx(find '$root' -type f), '', 'and are removed again');
    return $found;
}

my ($rc, $err) = configure('--with-initdir=init');
isnt($rc, 0, 'a relative path is refused');
like($err, qr/--with-initdir: "init" is no absolute path/, 'as it says');

($rc, $err) = configure('--without-initdir', '--with-systemdsystemunitdir=no');
is($rc, 0, 'without either') or diag($err);
is(installed(), '/p/etc/graceful/graceful.json', 'neither is installed');

($rc, $err) = configure('--with-initdir', '--with-systemdsystemunitdir=/lib/systemd/system');
is($rc, 0, 'with both') or diag($err);
is(installed(), '/lib/systemd/system/graceful.service /p/etc/graceful/graceful.json /p/etc/init/graceful.conf',
    'one at its usual place, one where it was said');

done_testing();
