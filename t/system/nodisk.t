#!/usr/bin/perl
# Full disks, read-only ones, and directories that vanish under a running master: the last good state is kept, what can be tried
# again is, and nobody owns a job twice.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Config;
use Digest::SHA qw(sha256_hex);
use Fcntl qw(O_RDWR);
use File::Path qw(remove_tree);
use JSON::PP;
use Test::More;

use Graceful::Actor;
use Graceful::Test qw(can_mount wait_for slurp source_dir spew end_of);

# Small file systems, in a mount name space of our own, which nobody else sees and which goes with us.
if (!$ENV{GRACEFUL_TEST_UNSHARED}) {
    plan skip_all => 'no mount name space to be had' unless can_mount();
    $ENV{GRACEFUL_TEST_UNSHARED} = 1;
    exec('unshare', '-m', $^X, '-I' . source_dir() . '/t/lib', $0) or die "unshare: $!\n";
}

use constant SYS_mount => { 'x86_64' => 165, 'aarch64' => 40 }->{ $Config{archname} =~ s/-.*//r };

my $box = Graceful::Test->new;
my @mounted;

# Gone before the directories are: blocks of this file run before those of the module.
END {
    my $status = $?;
    system('umount', '-l', $_) for @mounted;
    $? = $status;
}

# A file system of 512 KiB.
sub small_disk {
    my ($name) = @_;
    my $path = $box->path($name);

    mkdir($path);
    system('mount', '-t', 'tmpfs', '-o', 'size=512k,mode=755', 'none', $path) == 0 or die "cannot mount $path\n";
    push @mounted, $path;
    return $path;
}

sub remount { my ($path, $how) = @_; return system('mount', '-o', "remount,$how", $path) == 0 }

sub fill {
    my ($path) = @_;

    open(my $out, '>>', "$path/fill") or die "$path/fill: $!\n";
    1 while syswrite($out, 'x' x 4096) // 0;
    return close($out);
}

sub make_room { my ($path) = @_; return unlink("$path/fill") }

# Replaces the state of a job, which writes none by itself: 4 KiB of $letter.
sub put_state {
    my ($master, $job, $letter) = @_;
    my $path = "$master->{work_dir}/jobs/$job/state";

    spew("$path.tmp", $letter x 4096);
    rename("$path.tmp", $path) or die "$path: $!\n";
    return;
}

sub record { my ($dir, $job) = @_; return eval { decode_json(slurp("$dir/graceful/jobs/$job/state")) } // {} }
sub hash_of { my ($letter) = @_; return sha256_hex($letter x 4096) }

sub wait_saved {
    my ($dir, $job, $letter) = @_;
    return wait_for("$job is saved with $letter", sub { (record($dir, $job)->{sha256} // '') eq hash_of($letter) });
}

sub job {
    my ($name, %more) = @_;
    return { command => $box->job($name, "echo \"\$GRACEFUL_RESTORED\" >>\"\$dir/$name.starts\""), checkpoint => '100ms', %more };
}

sub starts { my ($name) = @_; return scalar(() = slurp($box->path("$name.starts")) =~ /\n/g) }

# A master with the job $name that runs, its state being 4 KiB of "a", in a store.
sub begin {
    my ($name, $job, %more) = @_;
    my $conf = $box->config("m-$name", { $name => $job }, { %more, state => { inline_max => '0B', url => 'file://' . $box->path('store'), %{ $more{state} // {} } } });
    my $master = $box->start($conf);

    wait_for("$name runs", sub { starts($name) == 1 });
    $master->wait_state($name => 'running');
    put_state($master, $name, 'a');
    $master->signal('USR1');
    wait_saved($more{coordinator}{path} // $box->path('local'), $name, 'a');
    return $master;
}

sub stop_ok {
    my ($master, $status) = @_;

    $master->signal('INT');
    return is($master->wait_exit, $status // 0, "$master->{instance} stops with " . ($status // 0));
}

# What the next owner starts from.
sub resumes_ok {
    my ($master, $name, $letter, $restored) = @_;
    my $before = starts($name);
    my $next = $box->start($master->{conf});

    wait_for("$name starts again", sub { starts($name) > $before });
    is((split(/\n/, slurp($box->path("$name.starts"))))[-1], $restored, "$name: the next owner is told $restored");
    is(substr(slurp("$next->{work_dir}/jobs/$name/state"), 0, 1), $letter, "$name: and has the state");
    return stop_ok($next);
}

my %disks = (
    store => sub { my ($path) = @_; return (state => { url => "file://$path" }) },
    coordinator => sub { my ($path) = @_; return (coordinator => { type => 'local', path => $path }) },
);

for my $which (sort keys %disks) {
    my $disk = small_disk($which);
    my $local = $which eq 'coordinator' ? $disk : $box->path('local');
    my %more = $disks{$which}->($disk);

    subtest "$which: full during a backup, and again with room" => sub {
        my $name = "$which-1";
        my $master = begin($name, job($name), %more);

        fill($disk);
        put_state($master, $name, 'b');
        $master->wait_log(qr/ $name: cannot save the state, the last good one stays \(seq=\d+ clean=0\): .*No space left/);
        is(record($local, $name)->{sha256}, hash_of('a'), 'the last good one stays');
        make_room($disk);
        wait_saved($local, $name, 'b');
        pass('the next backup succeeds');
        is(join(' ', grep { m{tmp[^/]*$} } glob("$disk/{,graceful/jobs/}$name/{,.}*")), '', 'nothing half is left');
        stop_ok($master);
        resumes_ok($master, $name, 'b', 'clean');
    };

    subtest "$which: full during the last dump, and room in time" => sub {
        my $name = "$which-2";
        my $master = begin($name, job($name, checkpoint => '1h', stop_timeout => '10m'), %more);

        fill($disk);
        put_state($master, $name, 'b');
        $master->signal('INT');
        $master->wait_log(qr/ $name: cannot save the state/);
        ok(!$master->ended, 'it is tried again');
        $master->wait_state($name => 'releasing');
        make_room($disk);
        is($master->wait_exit, 0, 'stops clean');
        is(record($local, $name)->{sha256}, hash_of('b'), 'the new state is committed');
        resumes_ok($master, $name, 'b', 'clean');
    } if $which eq 'store';

    subtest "$which: full during the last dump, to the end" => sub {
        my $name = "$which-3";
        my $master = begin($name, job($name, checkpoint => '1h', stop_timeout => '5s', hurry_timeout => '1s'), %more);

        fill($disk);
        put_state($master, $name, 'b');
        stop_ok($master, 3);
        like($master->log_text, qr/locks_released=1 unclean=1 left=0/, 'the lock is released');
        is(record($local, $name)->{sha256}, hash_of('a'), 'the last good one stays');
        ok(!record($local, $name)->{clean}, 'marked unclean');
        make_room($disk);
        # The dump is still there, and nobody has gone on from the last good one.
        resumes_ok($master, $name, 'b', 'clean');
    };
}

subtest 'store: read-only during a backup and at the end' => sub {
    my $disk = small_disk('store-ro');
    my $master = begin('ro', job('ro', stop_timeout => '5s', hurry_timeout => '1s'), $disks{store}->($disk));

    ok(remount($disk, 'ro'), 'read-only');
    put_state($master, ro => 'b');
    $master->wait_log(qr/ ro: cannot save the state, .*Read-only file system/);
    ok(remount($disk, 'rw'), 'and not any more');
    wait_saved($box->path('local'), ro => 'b');
    put_state($master, ro => 'c');
    wait_saved($box->path('local'), ro => 'c');
    remount($disk, 'ro');
    put_state($master, ro => 'd');
    stop_ok($master, 3);
    is(record($box->path('local'), 'ro')->{sha256}, hash_of('c'), 'the last good one stays');
    remount($disk, 'rw');
    resumes_ok($master, 'ro', 'd', 'clean');
};

subtest 'work_dir: full at a restore' => sub {
    my $disk = small_disk('work-m-restore');
    my $job = job('restore', restart_min => '10ms', restart_max => '100ms', max_failures => 3, stop_timeout => '10s', hurry_timeout => '1s');
    my $master = begin('restore', $job);

    stop_ok($master);
    fill($disk);
    # The PID file wants a place of its own, which a page that is there already gives it.
    truncate("$disk/fill", (-s "$disk/fill") - 4096);
    my $next = $box->start($master->{conf});
    $next->wait_log(qr/ restore: cannot restore the state, so the job is not started: .*No space left/);
    $next->wait_log(qr/ restore: released the lock/, 'another machine may try');
    is(starts('restore'), 1, 'not started without its state');
    make_room($disk);
    wait_for('it starts with room', sub { starts('restore') == 2 });
    is(slurp("$disk/jobs/restore/state"), 'a' x 4096, 'with its state');
    stop_ok($next);
};

subtest 'work_dir: full when the job is to go on from what was left in it' => sub {
    my ($disk, $store) = map { small_disk($_) } 'work-m-left', 'store-left';
    my $job = job('left', restart_min => '10ms', restart_max => '100ms', max_failures => 1000, checkpoint => '1h', stop_timeout => '5s', hurry_timeout => '1s');
    my $master = begin('left', $job, $disks{store}->($store));

    fill($store);
    put_state($master, left => 'b');
    stop_ok($master, 3);
    make_room($store);
    fill($disk);
    truncate("$disk/fill", (-s "$disk/fill") - 4096);    # as above
    my $next = $box->start($master->{conf});
    $next->wait_log(qr/ left: cannot restore the state, so the job is not started: .*No space left/);
    make_room($disk);
    wait_for('it starts with room', sub { starts('left') == 2 });
    is(slurp("$disk/jobs/left/state"), 'b' x 4096, 'with what was left');
    stop_ok($next);
};

subtest 'run_dir and work_dir: full or read-only at the start' => sub {
    for my $key (qw(run_dir work_dir)) {
        my $disk = small_disk("start-$key");
        my $conf = $box->config('m-start', { start => job('start') }, { $key => $disk });
        mkdir("$disk/$_") for qw(jobs notify);
        fill($disk);
        my $master = $box->start($conf);
        is($master->wait_exit, 1, "$key full: cannot run");
        like($master->log_text, qr{ error .*cannot run with \Q$conf\E: .*\Q$disk\E/graceful\.pid\.tmp: .*No space left}, 'says where');
        unlink($master->{log});
        make_room($disk);
        remount($disk, 'ro');
        $master = $box->start($conf);
        is($master->wait_exit, 1, "$key read-only: cannot run");
        like($master->log_text, qr{cannot run .*\Q$disk\E/graceful\.lock: Read-only}, 'says where');
        unlink($master->{log});
    }
    is(starts('start'), 0, 'nothing was started');
};

subtest 'coordinator: full at the start' => sub {
    my $disk = small_disk('start-local');
    fill($disk);
    my $master = $box->start($box->config('m-early', { early => job('early') }, { $disks{coordinator}->($disk) }));
    $master->wait_log(qr/ early: cannot get the lock: .*No space left/);
    is(starts('early'), 0, 'not started');
    make_room($disk);
    wait_for('it starts with room', sub { starts('early') == 1 });
    stop_ok($master);
};

subtest 'run_dir: full while it runs' => sub {
    my $disk = small_disk('run-full');
    my $master = begin('full', job('full'), run_dir => $disk);

    fill($disk);
    put_state($master, full => 'b');
    $master->wait_log(qr{ error .*cannot write the status file, the jobs go on: .*\Q$disk\E/status\.json.*No space left});
    wait_saved($box->path('local'), full => 'b');
    pass('backups go on');
    is(scalar(() = $master->log_text =~ /cannot write the status file/g), 1, 'said once');
    make_room($disk);
    $master->wait_log(qr/the status file is written again/);
    wait_for('the status is up to date', sub { ($master->job('full')->{seq} // 0) == record($box->path('local'), 'full')->{seq} });
    fill($disk);
    stop_ok($master);
};

# The status file cannot say that it stops: who asks again must not hurry the jobs for that.
subtest 'run_dir: full, and the operator asks again and again for a stop' => sub {
    my $disk = small_disk('run-stop');
    my $actor = Graceful::Actor->new($box, 'asked');
    my $gate = $box->path('asked-gate');
    my $master = $box->start($box->config('m-asked', { asked => { command => $actor->command("hold=$gate"), stop_timeout => '10m', hurry_timeout => '1m' } }, { run_dir => $disk }));

    $master->wait_ready('asked');
    fill($disk);
    for my $n (1 .. 4) {
        is(($box->run($box->graceful, 'stop', '--no-wait', '-c', $master->{conf}))[0], 0, 'asked');
        $n == 1 ? $actor->wait_for_line(qr/^INT$/) : wait_for('it is heard', sub { (() = $master->log_text =~ /stopping already/g) == $n - 1 });
    }
    ok(!$master->status->{stopping}, 'the status does not tell');
    spew($gate, '');
    is($master->wait_exit, 0, 'it dumps all the same');
    is_deeply([grep { /^[A-Z]+$/ } $actor->lines], ['INT'], 'told once, and not hurried');
};

subtest 'run_dir: removed while it runs' => sub {
    my $master = begin('gone', job('gone'));

    remove_tree($master->{run_dir});
    put_state($master, gone => 'b');
    $master->wait_log(qr/cannot write the status file, the jobs go on: .*No such file/);
    wait_saved($box->path('local'), gone => 'b');
    my ($status, undef, $err) = $box->run($box->graceful, 'status', '-c', $master->{conf});
    is($status, 1, 'graceful status');
    like($err, qr/\Q$master->{run_dir}\E/, 'says where it looked');
    stop_ok($master);
    resumes_ok($master, 'gone', 'b', 'clean');
};

# The server of a file system has died: whatever is asked of $path is answered by ENOTCONN, until it is unmounted.
sub mount_dead {
    my ($path) = @_;
    my ($from, $type) = ('none', 'fuse');

    SYS_mount or die "mount: its number is not known here\n";
    sysopen(my $server, '/dev/fuse', O_RDWR) or die "/dev/fuse: $!\n";
    my $options = 'rootmode=40000,user_id=0,group_id=0,fd=' . fileno($server);
    syscall(SYS_mount, $from, $path, $type, 0, $options) == 0 or die "mount $path: $!\n";
    push @mounted, $path;
    return close($server);
}

sub unmount {
    my ($path) = @_;

    @mounted = grep { $_ ne $path } @mounted;
    return is(system('umount', '-l', $path), 0, "$path is back");
}

# A device that is there may be forbidden to us, or have no driver.
mkdir($box->path('try'));
my $no_fuse = eval { mount_dead($box->path('try')) } ? '' : 'no FUSE here: ' . $@ =~ s/\n//r;
unmount($box->path('try')) unless $no_fuse;

for my $way ('stop', 'restart') {
    subtest "work_dir: it does not answer for a while, in a $way" => sub {
        plan skip_all => $no_fuse if $no_fuse;
        my $name = "away-$way";
        my $master = begin($name, job($name, checkpoint => '1h', stop_timeout => '10m', restart_min => '10ms', restart_max => '100ms', max_failures => 1000));
        my $dir = "$master->{work_dir}/jobs/$name";

        put_state($master, $name, 'b');
        mount_dead($dir);
        $way eq 'stop' ? $master->signal('INT') : kill('KILL', $master->job($name)->{job_pid});
        $master->wait_log(qr/ $name: cannot save the state, .*not connected/);
        unmount($dir);
        if ($way eq 'restart') {
            wait_for("$name starts again", sub { starts($name) == 2 });
            is(substr(slurp("$dir/state"), 0, 1), 'b', 'it goes on from what it left');
        }
        stop_ok($master);
        is(record($box->path('local'), $name)->{sha256}, hash_of('b'), 'which is committed');
    };
}

subtest 'work_dir: removed while it runs' => sub {
    my $master = begin('lost', job('lost', stop_timeout => '5s', hurry_timeout => '1s'));

    remove_tree($master->{work_dir});
    stop_ok($master, 3);
    like($master->log_text, qr{ lost: cannot save the state, the last good one stays .*\Q$master->{work_dir}\E}, 'says what is missing');
    is(record($box->path('local'), 'lost')->{sha256}, hash_of('a'), 'the last good one stays');
    resumes_ok($master, 'lost', 'a', 'crash');
};

for my $how (qw(removed moved)) {
    subtest "work_dir: $how, and the job starts anew in it" => sub {
        my $name = "anew-$how";
        my $master = begin($name, job($name, restart_min => '10ms', restart_max => '100ms'));
        my $work_dir = $master->{work_dir};

        $how eq 'removed' ? remove_tree($work_dir) : rename($work_dir, "$work_dir.old");
        kill('KILL', $master->job($name)->{job_pid});
        wait_for('it starts again', sub { starts($name) == 2 });
        is(slurp("$work_dir/jobs/$name/state"), 'a' x 4096, 'from its last good state');
        $master->wait_state($name => 'running');
        put_state($master, $name, 'b');
        wait_saved($box->path('local'), $name, 'b');
        pass('and is backed up as before');
        stop_ok($master);
    };
}

subtest 'work_dir: removed and made anew under the job' => sub {
    my $master = begin('under', job('under'));
    my $dir = "$master->{work_dir}/jobs/under";

    remove_tree($dir);
    mkdir($dir, 0700) or die "$dir: $!\n";
    put_state($master, under => 'b');
    wait_saved($box->path('local'), under => 'b');
    pass('it is backed up all the same');
    put_state($master, under => 'c');
    wait_saved($box->path('local'), under => 'c');
    stop_ok($master);
};

# How an operator empties a coordinator under two masters, one of which owns the job.
for my $how (qw(removed moved)) {
    subtest "coordinator: $how while it runs" => sub {
        my $name = "taken-$how";
        my $local = $box->path("local-$how");
        my %more = (coordinator => { type => 'local', path => $local });
        my $job = job($name, restart_min => '10ms', restart_max => '100ms', max_failures => 2);
        my $owner = begin($name, $job, %more);
        my $standby = $box->start($box->config("s-$name", { $name => $job }, \%more));
        $standby->wait_log(qr/ $name: waits for the lock, held by m-$name /);
        my $job_gone = end_of($owner->job($name)->{job_pid});

        $how eq 'removed' ? remove_tree($local) : rename($local, "$local.old");
        $owner->wait_log(qr/ $name: the lock is lost, .*lock was removed or replaced while in use/);
        wait_for('the job to be gone', $job_gone);
        $owner->wait_log(qr/ $name: "coordinator.path": \Q$local\E is not the directory that was used before, .*; trying again soon/);
        # The worker may have been about to take its place, or have had it.
        $standby->wait_log(qr/ $name: cannot get the lock: .*lock(?:: No such file| was removed or replaced while in use)/);
        is(starts($name), 1, 'nobody started it from nothing');
        is(slurp("$owner->{work_dir}/jobs/$name/state"), 'a' x 4096, 'its file is still there');
        stop_ok($_) for $standby, $owner;
    };
}

done_testing;
