#!/usr/bin/perl
# States, records and coordinator files that are damaged, and jobs that put something else in the place of their state. Nothing
# that is not a whole state is started from; what is good is never given up for it; and no job leads a root worker astray.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use IO::Socket::UNIX;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use POSIX qw(mkfifo);
use Test::More;

use Graceful::Test qw(wait_for slurp spew);

use constant { ROOT => $> == 0, NOBODY => 65534 };

my $box = Graceful::Test->new;
chmod(01777, $box->dir);    # jobs of other users leave notes there

# Failures follow each other quickly, and what gave up tries again soon.
my %quick = (restart_min => '10ms', restart_max => '200ms', max_failures => 3, failure_window => '1h');

sub coordinator { my ($job, $name) = @_; return $box->path("local/graceful/jobs/$job/$name") }

# A record for $state, with replaced fields; undef takes one away.
sub record {
    my ($state, %with) = @_;
    my %record = (
        epoch => 7, seq => 3, size => length $state, sha256 => sha256_hex($state), clean => JSON::PP::true,
        instance => 'web-9', time => '2026-01-01T00:00:00.000Z', data => encode_base64($state, ''), %with,
    );

    delete @record{ grep { !defined $record{$_} } keys %record };
    return JSON::PP->new->canonical->encode(\%record);
}

sub make_dirs {
    my ($path) = @_;
    my $at = '';

    for (split(m{/}, substr($path, 1))) {
        $at .= "/$_";
        mkdir($at);
    }
    return $path;
}

# Puts $record where the coordinator keeps that of $job: text, or a sub that makes something else at that path.
sub put_record {
    my ($job, $record) = @_;
    my $path = coordinator($job, 'state');

    make_dirs($path =~ s{/[^/]*$}{}r);
    return ref $record ? $record->($path) : spew($path, $record);
}

# A job that notes "RESTORED STATE" at each start, and leaves its state alone.
sub reader {
    my ($name) = @_;
    return { command => $box->job($name, 'echo "$GRACEFUL_RESTORED $(cat "$GRACEFUL_STATE" 2>&1)" >>"$dir/' . $name . '.starts"'), %quick };
}

sub starts { my ($name) = @_; return slurp($box->path("$name.starts")) }

sub stop_ok {
    my ($master, $status) = @_;

    $master->signal('INT');
    return is($master->wait_exit, $status // 0, "$master->{instance} stops with " . ($status // 0));
}

sub secret { my ($name) = @_; my $path = spew($box->path($name), "secret of root\n"); chmod(0600, $path); return $path }

my %elsewhere = (
    symlink => sub { my ($path) = @_; symlink(secret('linked'), $path) or die $! },
    fifo => sub { my ($path) = @_; mkfifo($path, 0600) or die $! },
    directory => sub { my ($path) = @_; mkdir($path) or die $! },
);

subtest 'a record that is damaged starts nothing until it is good again' => sub {
    my $good = record('good');
    my %damaged = (
        empty => '',
        rubbish => "\0\xff{",
        truncated => substr($good, 0, -20),
        nosha => record('good', sha256 => undef),
        length => record('good', size => 5),
        negative => record('good', epoch => -1),
        base64 => record('good', data => '*' x 8),
        both => record('good', url => 'file:///x/1-1'),
        fifo => $elsewhere{fifo},
        folder => $elsewhere{directory},
    );
    my @jobs = sort keys %damaged;

    put_record($_, $damaged{$_}) for @jobs;
    my $master = $box->start($box->config('web-1', { map { $_ => reader($_) } @jobs, 'well' }));
    for my $job (@jobs) {
        my $path = coordinator($job, 'state');
        $master->wait_log(qr/ $job: cannot get the lock: cannot use state record \Q$path\E: .* put a good copy back/, "$job is told");
    }
    wait_for('the good one to start', sub { starts('well') eq "none cat: $master->{work_dir}/jobs/well/state: No such file or directory\n" });
    is(starts($_), '', "$_ was not started") for @jobs;
    for my $job (@jobs) {
        my $path = coordinator($job, 'state');
        -d $path ? rmdir($path) : unlink($path);
        put_record($job, $good);
    }
    wait_for("$_ to start", sub { starts($_) eq "clean good\n" }) for @jobs;
    stop_ok($master);
};

subtest 'a wrong hash in the record' => sub {
    put_record(hash => record('good', sha256 => sha256_hex('bad')));
    my $master = $box->start($box->config('web-1', { hash => reader('hash') }));

    $master->wait_log(qr/ hash: cannot restore the state, so the job is not started: .*is damaged: its SHA-256 is .*: bring a good copy back, or delete/);
    $master->wait_log(qr/ hash: released the lock/, 'it gives up');
    stop_ok($master);
    is(starts('hash'), '', 'it was not started');
    is(slurp(coordinator('hash', 'state')), record('good', sha256 => sha256_hex('bad')), 'the record is as it was');
};

subtest 'a state in the store that is damaged starts nothing until it is good again' => sub {
    my $state = 'x' x 5000;
    my %damaged = (
        truncated => substr($state, 1),
        longer => "${state}x",
        hash => 'y' . substr($state, 1),
        missing => sub { 1 },
        %elsewhere,
    );
    my @jobs = sort keys %damaged;
    my %records;

    for my $job (@jobs) {
        my $path = make_dirs($box->path("store/graceful/jobs/b-$job")) . '/7-3';
        $records{$job} = record($state, data => undef, url => "file://$path");
        put_record("b-$job", $records{$job});
        ref $damaged{$job} ? $damaged{$job}->($path) : spew($path, $damaged{$job});
    }
    my $master = $box->start($box->config('web-1', { map { ("b-$_" => reader("b-$_")) } @jobs }));
    for my $job (@jobs) {
        my $url = 'file://' . $box->path("store/graceful/jobs/b-$job/7-3");
        $master->wait_log(qr/ b-$job: cannot restore the state, so the job is not started: .*\Q$url\E/, "$job: the blob is named");
        $master->wait_log(qr/ b-$job: released the lock/, "$job: given up");
        is(starts("b-$job"), '', "$job was not started");
        is(slurp(coordinator("b-$job", 'state')), $records{$job}, "$job: the record is as it was");
    }
    is(slurp($box->path('linked')), "secret of root\n", 'what was linked is untouched');
    for my $job (@jobs) {
        my $path = $box->path("store/graceful/jobs/b-$job/7-3");
        -d $path && !-l $path ? rmdir($path) : unlink($path);
        spew($path, $state);
    }
    for my $job (@jobs) {
        wait_for("$job to start", sub { starts("b-$job") eq "clean $state\n" });
    }
    stop_ok($master);
};

subtest 'a record cannot lead out of the store' => sub {
    my $secret = secret('outside');
    my $text = slurp($secret);
    my %urls = (
        out => "file://$secret",
        up => 'file://' . $box->path('store/up/../../outside'),
        http => 'http://example.org/1-1',
    );

    put_record("u-$_", record($text, data => undef, url => $urls{$_})) for keys %urls;
    my $master = $box->start($box->config('web-1', { map { ("u-$_" => reader("u-$_")) } keys %urls }));
    $master->wait_log(qr/ u-$_: cannot restore .*\Q$urls{$_}\E/, "$_ is refused") for keys %urls;
    stop_ok($master);
    is(starts("u-$_"), '', "$_ was not started") for keys %urls;
};

# What a job may plant in the place of its state, and what the log calls it. Those that the job's user cannot make this test
# makes for it.
my $secret = secret('canary');
my %planted = (
    symlink => [ "ln -s '$secret' \"\$GRACEFUL_STATE\"", qr/a symbolic link/ ],
    dangling => [ 'ln -s "$GRACEFUL_STATE.none" "$GRACEFUL_STATE"', qr/a symbolic link/ ],
    fifo => [ 'mkfifo "$GRACEFUL_STATE"', qr/a FIFO/ ],
    directory => [ 'mkdir "$GRACEFUL_STATE"; echo x >"$GRACEFUL_STATE/file"', qr/a directory/ ],
    socket => [ sub { IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $_[0]) or die $! }, qr/a socket/ ],
    hardlink => [ sub { link($secret, $_[0]) or die $! }, qr/has 2 names/ ],
    device => [ sub { system('mknod', $_[0], 'c', 1, 5) == 0 or die 'mknod' }, qr/a device/ ],
    # A file of root that everybody may read would pass, be it for a moment.
    foreign => [ sub { my $new = spew("$_[0].new", 'of root'); chmod(0600, $new); rename($new, $_[0]) or die $! }, qr/belongs to uid 0/ ],
);

subtest 'a job that plants something in the place of its state' => sub {
    plan skip_all => 'only root can be led astray' unless ROOT;
    my @jobs = sort keys %planted;
    my %jobs;

    for my $job (@jobs) {
        my $plant = $planted{$job}[0];
        my $body = 'echo good | dump';
        $jobs{"p-$job"} = {
            command => $box->job("p-$job", "$body\ntouch \"\$dir/p-$job.up\"",
                ref $plant ? '' : "rm -rf \"\$GRACEFUL_STATE\"; $plant"),
            user => 'nobody', stop_timeout => '30s', hurry_timeout => '5s', checkpoint => '100ms',
        };
    }
    my $master = $box->start($box->config('web-1', \%jobs));
    for my $job (@jobs) {
        wait_for("$job to be up", sub { -e $box->path("p-$job.up") });
        wait_for("$job to be saved", sub { slurp(coordinator("p-$job", 'state')) =~ /"seq":1,/ });
        my $path = "$master->{work_dir}/jobs/p-$job/state";
        next unless ref $planted{$job}[0];
        unlink($path);
        $planted{$job}[0]->($path);
    }
    stop_ok($master, 3);
    like($master->log_text, qr/unclean=8 left=0/, 'all locks released');
    for my $job (@jobs) {
        my $record = decode_json(slurp(coordinator("p-$job", 'state')));

        like($master->log_text, qr{ p-$job: cannot save the state, the last good one stays .*/state .*$planted{$job}[1]}, "$job: told");
        is($record->{sha256}, sha256_hex("good\n"), "$job: the last good state is kept");
        ok(!$record->{clean}, "$job: and marked");
    }
    is(slurp($secret), "secret of root\n", 'the canary is untouched');
    is(sprintf('%o %d', (stat $secret)[ 2, 4 ]), '100600 0', 'its mode and owner, too');

    $jobs{$_} = { %{ reader($_) }, user => 'nobody' } for keys %jobs;
    my $next = $box->start($box->config('web-1', \%jobs));
    for my $job (@jobs) {
        wait_for("$job to start", sub { starts("p-$job") eq "crash good\n\n" || starts("p-$job") eq "crash good\n" });
    }
    stop_ok($next);
    is(slurp($secret), "secret of root\n", 'the canary is untouched by the restore');
    is(sprintf('%o %d', (stat $secret)[ 2, 4 ]), '100600 0', 'its mode and owner, too');
};

subtest 'a job that plants names which a restore might use' => sub {
    plan skip_all => 'only root can be led astray' unless ROOT;
    my $plant = <<"END";
cd "\${GRACEFUL_STATE%/*}"
for name in state.tmp .state.tmp .restore- .restore-0000000000000000 rejected-0000000000000000 .tmp-1-1; do
    ln -s '$secret' \$name
done
mkdir .restore-folder
mkfifo .restore-fifo
touch "\$dir/names.up"
END
    my $job = { command => $box->job('names', "$plant", 'echo good | command cat >x; mv x state'), user => 'nobody' };
    my $master = $box->start($box->config('web-1', { names => $job }));

    wait_for('the job to be up', sub { -e $box->path('names.up') });
    stop_ok($master);
    $master = $box->start($box->config('web-1', { names => { %{ reader('names') }, user => 'nobody' } }));
    wait_for('the job to start', sub { starts('names') eq "clean good\n" });
    stop_ok($master);
    is(slurp($secret), "secret of root\n", 'the canary is untouched');
    is(sprintf('%o %d', (stat $secret)[ 2, 4 ]), '100600 0', 'its mode and owner, too');
};

subtest "a link in the place of the job's directory" => sub {
    my $target = make_dirs($box->path('target'));
    my $conf = $box->config('web-1', { linked => reader('linked') });
    my $jobs = make_dirs($box->path('work-web-1/jobs'));

    symlink($target, "$jobs/linked") or die $!;
    my $master = $box->start($conf);
    $master->wait_log(qr{ linked: cannot restore .*jobs/linked is a link or a file: move it away});
    is(starts('linked'), '', 'not started');
    is(join(' ', glob("$target/{*,.r*}")), '', 'nothing was written behind the link') if !-e "$target/.r";
    is((stat $target)[2] & 07777, 0755, 'nor changed');
    unlink("$jobs/linked");
    wait_for('the job to start', sub { starts('linked') =~ /^none / });
    stop_ok($master);
};

subtest 'the epoch' => sub {
    my %epochs = (
        garbage => [ "soon\n", qr/is damaged: write into it a number larger/ ],
        empty => [ '', qr/is damaged/ ],
        signed => [ "-1\n", qr/is damaged/ ],
        huge => [ "9223372036854775806\n", qr/is too large to count on from/ ],
        beyond => [ '9' x 40 . "\n", qr/is damaged/ ],
        folder => [ undef, qr/Is a directory/ ],
    );
    my @jobs = sort keys %epochs;

    for my $job (@jobs) {
        my $path = make_dirs($box->path("local/graceful/jobs/e-$job")) . '/epoch';
        defined $epochs{$job}[0] ? spew($path, $epochs{$job}[0]) : mkdir($path);
    }
    put_record('e-low', record('good', epoch => 41));
    spew(coordinator('e-low', 'epoch'), "3\n");
    my $master = $box->start($box->config('web-1', { map { ("e-$_" => reader("e-$_")) } @jobs, 'low' }));
    $master->wait_log(qr/ e-$_: cannot get the lock: .*epoch.*$epochs{$_}[1]/, "$_ is told") for @jobs;
    wait_for('the one that was set back to start', sub { starts('e-low') eq "clean good\n" });
    is($master->wait_state('e-low' => 'running')->{epoch}, 42, 'its epoch rises all the same');
    is(starts("e-$_"), '', "$_ was not started") for @jobs;
    my @files = grep { $_ ne 'folder' } @jobs;
    spew(coordinator("e-$_", 'epoch'), "99\n") for @files;
    is($master->wait_state("e-$_" => 'running')->{epoch}, 100, "$_ goes on from a good one") for @files;
    stop_ok($master);
    # Not while a worker may look: between the two there is no epoch, as of a job that is new.
    rmdir(coordinator('e-folder', 'epoch'));
    spew(coordinator('e-folder', 'epoch'), "99\n");
    $master = $box->start($box->config('web-1', { 'e-folder' => reader('e-folder') }));
    is($master->wait_state('e-folder' => 'running')->{epoch}, 100, 'folder goes on from a good one');
    stop_ok($master);
};

subtest 'garbage in the note about the holder' => sub {
    my %notes = (
        text => sub { spew($_[0], "\e[2Jgarbage\0") },
        json => sub { spew($_[0], '{"instance":"\u001b[2J","host":"x","pid":1,"since":1,"epoch":1}') },
        large => sub { spew($_[0], 'x' x (1 << 20)) },
        directory => $elsewhere{directory},
        fifo => $elsewhere{fifo},
        symlink => $elsewhere{symlink},
    );
    my @jobs = map { "n-$_" } sort keys %notes;
    my %jobs = map { $_ => reader($_) } @jobs;
    my $one = $box->start($box->config('web-1', \%jobs));

    for my $job (@jobs) {
        $one->wait_state($job => 'running');
        unlink(coordinator($job, 'holder'));
        $notes{ substr($job, 2) }->(coordinator($job, 'holder'));
    }
    my $two = $box->start($box->config('web-2', \%jobs));
    for my $job (@jobs) {
        $two->wait_log(qr/ $job: waits for the lock, held by another worker \(epoch 1\)$/m, "$job waits");
    }
    unlike($two->log_text, qr/\e/, 'no escape sequence came through');
    is(slurp($box->path('linked')), "secret of root\n", 'what was linked is untouched');
    stop_ok($one);
    $two->wait_state($_ => 'running') for @jobs;
    stop_ok($two);
};

subtest 'two configurations with one job name and coordinators of their own' => sub {
    my %jobs = (twin => { command => $box->job('twin', 'touch "$dir/twin.$GRACEFUL_INSTANCE"', 'echo "$GRACEFUL_INSTANCE" | dump') });
    my %apart = (coordinator => { type => 'local', path => $box->path('other') }, state => { url => 'file://' . $box->path('store-2') });
    my $one = $box->start($box->config('web-1', \%jobs));

    $one->wait_state(twin => 'running');
    my $same = $box->start($box->config('web-2', \%jobs, { %apart, work_dir => $one->{work_dir} }));
    is($same->wait_exit, 1, 'a common work_dir is refused');
    like($same->log_text, qr/another master runs here, pid @{[ $one->pid ]} .*"work_dir"/, 'and the other master is named');
    my $two = $box->start($box->config('web-2', \%jobs, \%apart));
    wait_for("web-$_ to run it", sub { -e $box->path("twin.web-$_") }) for 1, 2;
    stop_ok($_) for $one, $two;
    is(decode_json(slurp($box->path("$_/graceful/jobs/twin/state")))->{instance}, $_ eq 'local' ? 'web-1' : 'web-2', "$_: its own state")
        for qw(local other);
};

done_testing;
