#!/usr/bin/perl
# Every mistake in a configuration, and commands that cannot be run: what `check` says, what `run` says, and that the other
# jobs run on.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Path qw(remove_tree);
use POSIX qw(mkfifo);
use Test::More;

use Graceful::Test qw(can_mount wait_for slurp spew);

use constant ROOT => $> == 0;

my $box = Graceful::Test->new;
my $file = $box->path('bad.json');

# A configuration that works, one key a line so that mistakes have known ones: line 8 is the first job's "command". The
# arguments replace lines by their number.
sub text {
    my (%with) = @_;
    my $dir = $box->dir;
    my @lines = (
        '{',
        '  "instance": "web-1",',
        qq(  "coordinator": { "type": "local", "path": "$dir/local" },),
        qq(  "run_dir": "$dir/run",),
        qq(  "work_dir": "$dir/work",),
        '  "jobs": {',
        '    "orders": {',
        '      "command": ["/bin/sleep", "1000"],',
        '      "checkpoint": "30s"',
        '    }',
        '  }',
        '}',
    );

    $lines[ $_ - 1 ] = $with{$_} for keys %with;
    return join("\n", @lines) . "\n";
}

# Both commands refuse the file, with the same words, in which each pattern is found. Returns the words.
sub refused {
    my ($what, $path, @patterns) = @_;
    my @said;

    for my $command (qw(check run)) {
        my ($status, $out, $err) = $box->run($box->graceful, $command, '-c', $path);

        is($status, 78, "$command: $what");
        is($out, '', "$command says nothing on stdout");
        like($err, $_, "$command says why") for @patterns;
        push @said, $err;
    }
    ok(!-e $box->path('run') && !-e $box->path('work') && !-e $box->path('local'), "$what: nothing was made");
    return $said[0];
}

subtest 'a file that everybody can write' => sub {
    my $path = spew($box->path('open.json'), text());

    chmod(0646, $path);
    refused('mode 0646', $path, qr/\Q$path\E: can be written by everybody \(mode 0646\).*chmod o-w/);
    chmod(0664, $path);
    my ($status) = $box->run($box->graceful, 'check', '-c', $path);
    is($status, 0, 'those of its group may');
    unlink($path);
};

subtest 'each mistake is named by file, line and key' => sub {
    my @cases = (
        [ 'unknown key', { 2 => '  "instanse": "web-1",' }, 2, 'instanse', qr/did you mean "instance"/ ],
        [ 'unknown key of a job', { 9 => '      "checkpiont": "30s"' }, 9, 'jobs.orders.checkpiont', qr/no such key/ ],
        [ 'wrong type', { 2 => '  "instance": 7,' }, 2, 'instance', qr/not 7/ ],
        [ 'a string for a list', { 8 => '      "command": "/bin/sleep 1000",' }, 8, 'jobs.orders.command', qr/must be an array/ ],
        [ 'an object for a job', { 7 => '    "orders": [{', 10 => '    }]' }, 7, 'jobs.orders', qr/must be/ ],
        [ 'a number in the command', { 8 => '      "command": ["/bin/sleep", 1000],' }, 8, 'jobs.orders.command[1]', qr/not 1000/ ],
        [ 'duplicate key', { 2 => qq(  "instance": "web-1",\n  "instance": "web-2",) }, 3, 'instance', qr/twice|again|already/ ],
        [ 'duplicate job', { 10 => '    }, "orders": { "command": ["/bin/true"] }' }, 10, 'jobs.orders', qr/twice|again|already/ ],
        [ 'bad duration', { 9 => '      "checkpoint": "30 parsecs"' }, 9, 'jobs.orders.checkpoint', qr/30 parsecs/ ],
        [ 'a number for a duration', { 9 => '      "checkpoint": 30' }, 9, 'jobs.orders.checkpoint', qr/not 30/ ],
        [ 'negative duration', { 9 => '      "checkpoint": "-1s"' }, 9, 'jobs.orders.checkpoint', qr/-1s/ ],
        [ 'huge duration', { 9 => '      "checkpoint": "99999999999999999999d"' }, 9, 'jobs.orders.checkpoint', qr/9999/ ],
        [ 'bad size', { 9 => '      "state_max": "1 potato"' }, 9, 'jobs.orders.state_max', qr/1 potato/ ],
        [ 'bad job name', { 7 => '    "../etc": {' }, 7, 'jobs.../etc', qr/name/ ],
        [ 'empty job name', { 7 => '    "": {' }, 7, 'jobs.', qr/name/ ],
        [ 'job name of 64 bytes', { 7 => '    "' . 'a' x 64 . '": {' }, 7, 'jobs.' . 'a' x 64, qr/name/ ],
        [ 'unknown user', { 9 => '      "user": "no-such-user"' }, 9, 'jobs.orders.user', qr/no user "no-such-user"/ ],
        [ 'unknown group', { 9 => '      "group": "no-such-group"' }, 9, 'jobs.orders.group', qr/no group "no-such-group"/ ],
        [ 'embedded NUL', { 8 => '      "command": ["/bin/sl\u0000eep"],' }, 8, 'jobs.orders.command[0]', qr/NUL/ ],
        [ 'embedded NUL in a key', { 2 => '  "inst\u0000ance": "web-1",' }, 2, undef, qr/NUL/ ],
        [ 'relative command', { 8 => '      "command": ["sleep"],' }, 8, 'jobs.orders.command[0]', qr/absolute/ ],
        [ 'empty command', { 8 => '      "command": [],' }, 8, 'jobs.orders.command', qr/empty/ ],
        [ 'no command', { 8 => '' }, 7, 'jobs.orders', qr/command/ ],
        [ 'relative run_dir', { 4 => '  "run_dir": "run",' }, 4, 'run_dir', qr/absolute/ ],
        [ 'the root as work_dir', { 5 => '  "work_dir": "/",' }, 5, 'work_dir', qr/directory of its own/ ],
        [ 'a path with ".."', { 5 => '  "work_dir": "/tmp/../etc",' }, 5, 'work_dir', qr/\.\./ ],
        [ 'unknown signal', { 9 => '      "stop_signal": "SIGNAL"' }, 9, 'jobs.orders.stop_signal', qr/SIGNAL/ ],
        [ 'a signal that cannot be caught', { 9 => '      "stop_signal": "KILL"' }, 9, 'jobs.orders.stop_signal', qr/KILL/ ],
        [
            'impossible combination', { 9 => '      "hurry_timeout": "2m", "stop_timeout": "1m"' }, 9,
            'jobs.orders.hurry_timeout', qr/stop_timeout/
        ],
        [ 'an environment of ours', { 9 => '      "env": { "GRACEFUL_EPOCH": "1" }' }, 9, 'jobs.orders.env.GRACEFUL_EPOCH', qr/sets/ ],
        [ 'unknown coordinator', { 3 => '  "coordinator": { "type": "paxos" },' }, 3, 'coordinator.type', qr/paxos/ ],
        [ 'a key of the wrong coordinator', { 3 => '  "coordinator": { "type": "local", "user": "me" },' }, 3, 'coordinator.user', qr/etcd/ ],
        [ 'unknown store', { 2 => '  "state": { "url": "ftp://x/y" },' }, 2, 'state.url', qr/file:/ ],
    );

    for my $case (@cases) {
        my ($what, $with, $line, $key, $why) = @{$case};
        my $where = defined $key ? qr/^\Q$file:$line: $key: \E/m : qr/^\Q$file:$line:\E/m;

        spew($file, text(%{$with}));
        refused($what, $file, $where, $why);
    }
};

subtest 'what is no JSON is named by line and column' => sub {
    my @cases = (
        [ 'a comma too many', text(9 => '      "checkpoint": "30s",'), 10 ],
        [ 'a missing brace', text(12 => ''), 13 ],
        [ 'something behind the end', text(12 => "}\n{}"), 13 ],
        [ 'a raw NUL', text(2 => "  \"instance\": \"web\0-1\","), 2 ],
        [ 'broken UTF-8', text(2 => "  \"instance\": \"web\xff\","), 2 ],
        [ 'binary rubbish', join('', map { chr } 1 .. 255), 1 ],
        [ 'a list', "[]\n", 1 ],
        [ 'a brace bomb', '[' x 100_000, 1 ],
    );

    for my $case (@cases) {
        my ($what, $text, $line) = @{$case};

        spew($file, $text);
        my $said = refused($what, $file, qr/^\Q$file:$line:\E/m);
        unlike($said, qr/[^\n\x20-\x7e]/, "$what: nothing binary in the message");
    }
};

subtest 'a file without anything in it' => sub {
    for my $text ('', "\n\n \t\n") {
        spew($file, $text);
        refused('nothing', $file, qr/^\Q$file\E: is empty/m);
    }
};

subtest 'all mistakes are reported together' => sub {
    spew($file, text(2 => '  "instance": 7,', 4 => '  "run_dir": "run",', 8 => '      "command": [],', 9 => '      "user": "no-such-user"'));
    my $said = refused('four mistakes', $file);
    like($said, qr/:2: instance: .*:4: run_dir: .*:8: jobs\.orders\.command: .*:9: jobs\.orders\.user: /s, 'in their order');
};

subtest 'files that are none' => sub {
    my $fifo = $box->path('fifo.json');
    my $link = $box->path('loop.json');

    mkfifo($fifo, 0644) or die "$fifo: $!";
    symlink('loop.json', $link) or die "$link: $!";
    refused('no file', $box->path('nothing.json'), qr/nothing\.json: No such file.*graceful\.json\(5\)/);
    refused('a directory', $box->dir, qr/\Q@{[ $box->dir ]}\E: Is a directory: name a file by -c/);
    refused('a FIFO', $fifo, qr/not a regular file/);
    refused('a device', '/dev/zero', qr/not a regular file/);
    refused('a link to itself', $link, qr/loop\.json.*symbolic links/);
    spew($file, text() . ' ' x (64 << 20));
    refused('a file of 64 MiB', $file, qr/larger than/);
};

subtest 'an unreadable file' => sub {
    plan skip_all => 'root must become somebody else, who is not root' unless ROOT;
    spew($file, text());
    chmod(0600, $file);
    my @nobody = qw(setpriv --reuid=65534 --regid=65534 --clear-groups);
    my ($rc) = $box->run(@nobody, $box->graceful, '--help');
    plan skip_all => 'nobody cannot execute the program here' if $rc != 0;
    for my $command (qw(check run)) {
        my ($status, undef, $err) = $box->run(@nobody, $box->graceful, $command, '-c', $file);
        is($status, 78, $command);
        like($err, qr/^\Q$file\E: Permission denied: be root or /m, 'says why');
    }
};

# Commands that cannot be run.

my $plain = spew($box->path('plain'), "#!/bin/sh\nexit\n");
my $astray = $box->script('astray', "exit\n");
my $text_only = spew($box->path('text'), "just words\n");
spew($astray, "#!/nowhere/python -u\nexit\n");
chmod(0755, $text_only);
my %broken = (
    missing => [ '/nowhere/program', qr/No such file/ ],
    plain => [ $plain, qr/Permission denied/ ],
    folder => [ $box->dir, qr/Is a directory|Permission denied/ ],
    astray => [ $astray, qr{/nowhere/python}, ],
);

subtest 'check tells commands that cannot be run' => sub {
    my $conf = $box->config('web-1', { map { $_ => { command => [ $broken{$_}[0] ] } } keys %broken });
    my ($status, undef, $err) = $box->run($box->graceful, 'check', '-c', $conf);

    is($status, 78, 'status');
    like($err, qr/^\Q$conf\E: jobs\.$_\.command: .*$broken{$_}[1]/m, $_) for sort keys %broken;
    like($err, qr/4 problems/, 'all together');
};

subtest 'check knows scripts that the kernel does not' => sub {
    my $dos = spew($box->path('dos'), "#!/bin/sh\r\nexit\r\n");
    my $empty = spew($box->path('empty'), '');
    chmod(0755, $dos, $empty);
    my $conf = $box->config('scripts', { text => { command => [$text_only] }, empty => { command => [$empty] }, good => { command => ['/bin/true'] } });
    my ($status, $out, $err) = $box->run($box->graceful, 'check', '-c', $conf);

    is($status, 0, 'a text may be something to it, if it was told so') or diag($err);
    like($err, qr{^\Q$conf\E: warning: jobs\.$_\.command: .* lacks a first line such as #!/bin/sh: it may fail with "Exec format error"$}m, $_)
        for qw(text empty);
    unlike($err, qr/jobs\.good/, 'a program is one');
    like($out, qr/fine: 3 jobs, 2 warnings$/, 'the last line counts them');
    $conf = $box->config('dos', { dos => { command => [$dos] } });
    ($status, undef, $err) = $box->run($box->graceful, 'check', '-c', $conf);
    is($status, 78, 'lines that end as on Windows');
    like($err, qr{cannot execute /bin/sh, which the first line of \Q$dos\E names: the line ends as on Windows, take the CR out$}m, 'are named');
};

# In a mount name space of its own, as whether there is a /dev/log is the machine's business.
subtest 'check warns of a syslog that is not there' => sub {
    my $unshare = q(unshare -m sh -c 'mount -t tmpfs none /dev && exec "$0" "$@"');
    plan skip_all => 'no mount name space to be had' unless can_mount();
    my $conf = $box->config('logs', { orders => { command => ['/bin/true'] } }, { log => { to => 'syslog' } });
    my ($status, $out, $err) = $box->run('sh', '-c', "exec $unshare \"\$@\"", 'sh', $box->graceful, 'check', '-c', $conf);

    is($status, 0, 'the master runs all the same') or diag($err);
    like($err, qr{^\Q$conf\E: warning: log\.to: /dev/log takes no lines: No such file.*start a syslog daemon}m, 'but its lines are lost');
    like($out, qr/configuration is fine: 1 job, 1 warning$/, 'which the last line recalls');
    # With something in the way, so that it ends.
    $conf = $box->config('silent', { orders => { command => ['/bin/true'] } }, { log => { to => 'syslog' }, run_dir => spew($box->path('none'), '') });
    ($status, $out, $err) = $box->run('sh', '-c', "exec $unshare \"\$@\"", 'sh', $box->graceful, 'run', '-c', $conf);
    is($status, 1, 'run');
    like($err, qr{^\Q$conf\E: warning: log\.to: /dev/log takes no lines: No such file.*; what is logged is lost until}m, 'tells who started it, too');
};

subtest 'check tells what is in the way of the master\'s own files' => sub {
    my $conf = spew($box->path('home.json'), text());
    my %bad = (
        'run/notify' => sub { spew($_[0], '') },
        'work/jobs' => sub { spew($_[0], '') },
        'work/jobs/' => sub { symlink('/nowhere', $_[0] =~ s{/$}{}r) or die "symlink: $!\n" },
        'run/graceful.lock' => sub { mkdir($_[0]) },
        'run/graceful.pid' => sub { mkdir($_[0]) },
        'work/graceful.lock' => sub { mkdir($_[0]) },
    );

    for my $name (sort keys %bad) {
        mkdir($box->path($_)) for qw(run work);
        $bad{$name}->($box->path($name));
        (my $path = $box->path($name)) =~ s{/$}{};
        my $key = $name =~ /^run/ ? 'run_dir' : 'work_dir';
        my ($status, $out, $err) = $box->run($box->graceful, 'check', '-c', $conf);
        is("$status$out", '78', "check, with $name in the way") or diag($err);
        like($err, qr{^\Q$conf\E: $key: \Q$path\E is .*move .* away}m, 'says what and what to do');
        ($status, undef, $err) = $box->run($box->graceful, 'run', '-c', $conf);
        is($status, 1, 'run cannot, either');
        like($err, qr{\Q$path\E}, 'and says what');
        remove_tree(map { $box->path($_) } qw(run work local));
    }
};

# Above what the kernel lets anybody have: root has no such limit, either.
subtest 'a limit that cannot be set' => sub {
    my %job = (command => ['/bin/sleep', '1000'], limits => { core => 0, cpu => 1000, nofile => [ 10, 2**40 ] });
    my $conf = $box->config('web-1', { greedy => \%job });
    my ($status, $out, $err) = $box->run($box->graceful, 'check', '-c', $conf);

    is($status, 0, 'what runs the master may have more than this process') or diag($err);
    like($err, qr{^\Q$conf\E: warning: jobs\.greedy\.limits\.nofile: a hard limit of 1099511627776 cannot be set, as ours is \d+: }m,
        'check tells which one');
    my $master = $box->start($conf);
    $master->wait_log(qr/ greedy: cannot start .*: cannot set "limits\.nofile" so high .*lower it/, 'run, too');
    $master->signal('INT');
    is($master->wait_exit, 0, 'stopped');
};

subtest 'check warns of a full disk' => sub {
    my $disk = $box->path('disk');
    my $unshare = qq(unshare -m sh -c 'mount -t tmpfs -o size=16k none $disk && exec "\$0" "\$@"');
    mkdir($disk);
    plan skip_all => 'no mount name space to be had' unless can_mount();
    my $conf = $box->config('web-1', { orders => { command => ['/bin/true'] } },
        { work_dir => "$disk/work", coordinator => { type => 'local', path => "$disk/local" } });
    my $fill = "head -c 1000000 /dev/zero 2>/dev/null >$disk/full;";
    my ($status, $out, $err) = $box->run('sh', '-c', ($unshare =~ s/&& exec/&& $fill exec/r) . ' "$@"', 'sh', $box->graceful, 'check', '-c', $conf);

    is($status, 0, 'it may be freed before anything is written') or diag($err);
    like($err, qr{^\Q$conf\E: warning: work_dir: the file system of \Q$disk\E is full, free some space$}m, 'told');
    like($out, qr/fine: 1 job, 1 warning$/m, 'and counted');
};

subtest 'run tells them, backs off, gives up, and the other jobs run on' => sub {
    my %quick = (restart_min => '10ms', restart_max => '20ms', max_failures => 3, failure_window => '1h');
    my %jobs = map { $_ => { command => [ $broken{$_}[0] ], %quick } } keys %broken;
    my $good = { command => $box->job('good', 'touch "$dir/good.up"', 'echo done | dump') };
    my $master = $box->start($box->config('web-1', { %jobs, words => { command => [$text_only], %quick }, good => $good }));
    my $log;

    for my $job (sort keys %broken, 'words') {
        $master->wait_log(qr/ $job: released the lock/, "$job is released");
        $log = $master->log_text;
        my @lines = grep { / error .* $job: / } split(/\n/, $log);
        my @starts = grep { / $job: cannot start / } @lines;
        cmp_ok(scalar(@starts), '>=', 3, "$job: three tries, one line each");
        like($_, $broken{$job} ? $broken{$job}[1] : qr/Exec format error/, "$job: says why") for @starts[ 0 .. 2 ];
        like($_, qr/\Q$broken{$job}[0]\E/, "$job: says what") for grep { $broken{$job} } @starts[ 0 .. 2 ];
        like($log, qr/ error .* $job: gave up, as it failed 3 times within 1h00m: cannot start .* after 20ms$/m, "$job: the end of it");
    }
    wait_for('the good one to be up', sub { -e $box->path('good.up') });
    $master->wait_state(good => 'running');
    $master->signal('INT');
    is($master->wait_exit, 0, 'a clean stop');
    like(slurp($box->path('local/graceful/jobs/good/state')), qr/"clean":true/, 'the good one is dumped');
};

done_testing;
