#!/usr/bin/perl
# tally, the example job: every complete line of a growing, rotated file is counted exactly once,
# whatever happens to tally meanwhile. TALLY names the program, SEED repeats a random run, PATIENCE
# is how many seconds anything may take (60).
use strict;
use warnings;

use Cwd qw(getcwd);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Handle;
use IO::Socket::UNIX;
use POSIX qw(WNOHANG);
use Test::More;

use Graceful::Account qw(compare counts_of);

my $tally = $ENV{TALLY} // "$FindBin::Bin/../../etc/examples/tally";
die "$tally is not there: build it, or set TALLY\n" unless -x $tally;
$tally = getcwd() . "/$tally" unless $tally =~ m{^/};

delete @ENV{grep { /^GRACEFUL_|^NOTIFY_SOCKET$|^WATCHDOG_/ } keys %ENV};
my $dir = tempdir('tally-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chdir $dir or die "$dir: $!";
END { chdir '/' }    # so that the directory can be removed

my $pid;
END { kill 'KILL', $pid if defined $pid }

sub wait_for {
	my ($what, $condition) = @_;
	my $end = time + ($ENV{PATIENCE} // 60);
	until ($condition->()) {
		if (time > $end) {
			diag("waited a minute for: $what");
			return 0;
		}
		select undef, undef, undef, 0.01;
	}
	return 1;
}

# What tally says on its NOTIFY_SOCKET.
my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$dir/notify") or die "socket: $!";
$socket->blocking(0);
$ENV{NOTIFY_SOCKET} = "$dir/notify";
my %heard;

sub hear {
	while (defined $socket->recv(my $text, 4096)) { $heard{$text}++ }
	return \%heard;
}

sub start {
	my @args = @_;
	hear();
	%heard = ();
	$pid = fork // die "fork: $!";
	return if $pid;
	open STDERR, '>>', 'log' or die;
	# As a shell does with a program in the background: tally has to take SIGINT back.
	$SIG{INT} = 'IGNORE';
	exec $tally, @args or die "$tally: $!";
}

# A program that has not come to its handlers yet would miss the signal, or die of it.
sub ask {
	my ($signal) = @_;
	wait_for('READY', sub { hear()->{'READY=1'} });
	kill $signal, $pid;
	return;
}

sub gone {
	my $status;
	wait_for('exit', sub { waitpid($pid, WNOHANG) == $pid && defined($status = $?) });
	undef $pid if defined $status;
	return $status // -1;
}

sub stop {
	my ($signal) = @_;
	$signal eq 'KILL' ? kill $signal, $pid : ask($signal);
	return gone();
}

sub slurp {
	my ($name) = @_;
	open my $f, '<', $name or return '';
	local $/;
	return <$f> // '';
}

sub spew {
	my ($mode, $name, $text) = @_;
	open my $f, $mode, $name or die "$name: $!";
	$f->autoflush(1);
	print $f $text;
	return $f;
}

# What the state file says: (counts, lines, gaps). There may be none yet.
sub state_of {
	my @found = eval { counts_of($tally, 's') };
	return @found ? @found : ({}, -1, -1);
}

sub lines_counted { return (state_of())[1] }

sub fresh {
	stop('KILL') if defined $pid;    # a failed test's
	unlink grep { $_ ne 'notify' } glob '*';
	return;
}

sub real_log {
	fresh();
	my ($log) = grep { -r && -s } '/var/log/dpkg.log', '/var/log/syslog', '/etc/services';
	return plan skip_all => 'no log to read' unless $log;
	copy($log, 'f');
	my (%want, $n);
	for (split /\n/, slurp('f')) {
		my @fields = split /[ \t]+/, s/^[ \t]+//r;
		$want{$fields[2] // ''}++;
		$n++;
	}
	start(qw(--field 3 --state s --every 500 f));
	ok(wait_for('a dump', sub { lines_counted() >= 500 }), "a dump of $log along the way");
	is(stop('INT'), 0, 'exit 0 on INT');
	start(qw(--field 3 --state s --every 1 f));
	spew('>>', 'f', "a b more\n");
	ok(wait_for('the rest', sub { lines_counted() == $n + 1 }), 'resumes, and sees it grow');
	is(stop('TERM'), 0, 'exit 0 on TERM');
	$want{more}++;
	is_deeply((state_of())[0], \%want, 'the counts are right');
	is((state_of())[2], 0, 'no gap');
	like(slurp('log'), qr/resuming after a crash: \d+ lines/, 'says where it resumed');
	return;
}

sub incomplete_line {
	fresh();
	my $f = spew('>', 'f', "a\nb\nhal");
	start(qw(--state s --every 1 f));
	ok(wait_for('2 lines', sub { lines_counted() == 2 }), 'a line without newline waits');
	is(stop('INT'), 0, 'stopped');
	print $f "f\n";
	start(qw(--state s --every 1 f));
	ok(wait_for('3 lines', sub { lines_counted() == 3 }), 'and counts when it is complete');
	stop('INT');
	is_deeply((state_of())[0], { a => 1, b => 1, half => 1 }, 'whole, and once');
	return;
}

sub file_comes_later {
	fresh();
	start(qw(--state s --every 1 f));
	spew('>', 'f', "a\n");
	ok(wait_for('a line', sub { lines_counted() == 1 }), 'a file made after the start is read');
	stop('INT');
	return;
}

sub renamed_while_it_runs {
	fresh();
	my $old = spew('>', 'f', "a\n");
	start(qw(--state s --every 1 f));
	ok(wait_for('a', sub { lines_counted() == 1 }), 'before rotation');
	rename 'f', 'f.1';
	my $new = spew('>', 'f', '');
	print $old "late\n";
	ok(wait_for('late', sub { lines_counted() == 2 }), 'a late writer is still heard');
	print $old "last\n";
	print $new "b\n";
	ok(wait_for('b', sub { lines_counted() == 4 }), 'then the new file is read');
	stop('INT');
	is_deeply((state_of())[0], { a => 1, late => 1, last => 1, b => 1 }, 'each line once');
	is((state_of())[2], 0, 'no gap');
	return;
}

sub renamed_while_down {
	fresh();
	my $f = spew('>', 'f', "a\n");
	start(qw(--state s --every 1 f));
	wait_for('a', sub { lines_counted() == 1 });
	is(stop('KILL'), 9, 'killed');
	print $f "b\n";
	rename 'f', 'f.2';
	spew('>', 'f.1', "c\nd\n");
	spew('>', 'f', "e\n");
	start(qw(--state s --every 1 f));
	ok(wait_for('all', sub { lines_counted() == 5 }), 'three generations are read in order');
	stop('INT');
	is_deeply((state_of())[0], { map { $_ => 1 } qw(a b c d e) }, 'each line once');
	is((state_of())[2], 0, 'no gap');
	return;
}

sub truncated {
	fresh();
	my $f = spew('>>', 'f', "first line\n");
	start(qw(--state s --every 1 f));
	wait_for('first', sub { lines_counted() == 1 });
	copy('f', 'f.1');
	truncate 'f', 0;
	print $f "a line that is longer than the first one\n";
	ok(wait_for('a', sub { lines_counted() == 2 }), 'copied and truncated while it runs');
	stop('KILL');
	print $f "unseen\n";
	copy('f', 'f.1');
	truncate 'f', 0;
	print $f "b longer than all that there was before, to hide that the file was truncated\n";
	start(qw(--state s --every 1 f));
	ok(wait_for('b', sub { lines_counted() == 4 }), 'the same while it is down');
	stop('INT');
	is_deeply((state_of())[0], { first => 1, a => 1, unseen => 1, b => 1 }, 'each line once');
	is((state_of())[2], 0, 'no gap');
	return;
}

sub lost {
	fresh();
	spew('>', 'f', "a\n");
	start(qw(--state s --every 1 f));
	wait_for('a', sub { lines_counted() == 1 });
	stop('INT');
	spew('>', 'f', "another file under the same inode number\n");
	start(qw(--state s --every 1 f));
	ok(wait_for('another', sub { lines_counted() == 2 }), 'reads the file that is there now');
	stop('INT');
	is((state_of())[2], 1, 'counts a gap');
	like(slurp('log'), qr/not there any more/, 'and says so');
	return;
}

# A dump that failed is due again after as many lines as any other, not with the next line.
sub dump_fails {
	fresh();
	spew('>', 'f', join '', map { "$_\n" } 1 .. 10);
	start(qw(--state missing/s --every 3 f));
	ok(wait_for('three dumps', sub { (() = slurp('log') =~ /cannot write the state/g) >= 3 }), 'tries again');
	isnt(stop('INT'), 0, 'fails at last');
	is(() = slurp('log') =~ /cannot write the state/g, 4, 'after lines 3, 6 and 9, and at the stop');
	return;
}

sub asked_to_dump {
	fresh();
	spew('>', 'f', "a\n");
	start(qw(--state s --every 0 f));
	my $asked = wait_for('dump', sub { ask('USR1'); lines_counted() == 1 });
	ok($asked, 'USR1 makes a dump');
	stop('KILL');
	fresh();
	spew('>', 'f', "a\n");
	start(qw(--state s --every 0 --interval 20 f));
	ok(wait_for('dump', sub { lines_counted() == 1 }), '--interval makes dumps');
	stop('KILL');
	return;
}

sub slow_dump {
	fresh();
	spew('>', 'f', "a\n");
	start(qw(--state s --dump-delay 3600000 f));
	ask('INT');
	ok(wait_for('the dump', sub { -e 's.tmp' }), 'a slow dump has begun');
	ok(!-e 's', 'and is not over');
	is(stop('TERM'), 0, 'TERM hurries it');
	ok(-e 's' && !-e 's.tmp', 'dumped all the same');
	return;
}

sub unusable_state {
	fresh();
	spew('>', 'f', "a\nb\n");
	start(qw(--state s --every 2 f));
	wait_for('2', sub { lines_counted() == 2 });
	stop('INT');
	my $good = slurp('s');
	my %bad = (
		'empty' => '',
		'junk' => "junk\n",
		'cut' => substr($good, 0, -2),
		'longer' => $good . "1 c\n",
		'wrong sum' => $good =~ s/^1 a$/7 a/mr,
		'twice the same key' => $good =~ s/^1 b$/1 a/mr,
		'newer version' => $good =~ s/^tally 1/tally 2/r,
		'other field' => $good =~ s/^field 1/field 2/mr,
		'huge number' => $good =~ s/^gaps 0/gaps 99999999999999999999/mr,
	);
	for my $name (sort keys %bad) {
		unlink 's', 'log';
		spew('>', 's', $bad{$name});
		start(qw(--state s f));
		is(gone() >> 8, 1, "$name: exit 1");
		like(slurp('log'), qr/the state s/, "$name: says why");
		is(slurp('s'), $bad{$name}, "$name: left alone");
	}
	return;
}

sub bad_usage {
	fresh();
	for my $args ([], ['f'], [qw(--state s)], [qw(--field 0 --state s f)], [qw(--every x f)],
		[qw(--bogus)], [qw(--state s f g)], [qw(--show s f)]) {
		start(@$args);
		is(gone() >> 8, 64, "exit 64: tally @$args");
	}
	start(qw(--state s missing/f));
	is(gone() >> 8, 1, 'exit 1: no directory to watch');
	start(qw(--show s));
	is(gone() >> 8, 1, 'exit 1: no state to show');
	mkdir 'd';
	start(qw(--state s d));
	is(gone() >> 8, 1, 'exit 1: a directory for a file');
	rmdir 'd';
	return;
}

sub notifies {
	fresh();
	spew('>', 'f', "a\na\nb\n");
	local $ENV{WATCHDOG_USEC} = 20000;
	start(qw(--state s f));
	ok(wait_for('READY', sub { hear()->{'READY=1'} }), 'READY=1');
	ok(wait_for('STATUS', sub { hear()->{'STATUS=3 lines, 2 keys'} }), 'STATUS=');
	ok(wait_for('WATCHDOG', sub { (hear()->{'WATCHDOG=1'} // 0) > 3 }), 'WATCHDOG=1');
	ask('INT');
	ok(wait_for('STOPPING', sub { hear()->{'STOPPING=1'} }), 'STOPPING=1');
	is(gone(), 0, 'exit 0');
	return;
}

# A writer that appends, rotates either way and leaves lines incomplete, against a tally that is
# stopped and killed at random and dumps every few lines.
package Writer;

sub new {
	my ($class) = @_;
	return bless { file => main::spew('>>', 'f', ''), want => {}, lines => 0, begun => '' }, $class;
}

sub write_some {
	my ($self) = @_;
	for (1 .. 1 + int rand 60) {
		my $key = 'k' . int rand 20;
		# A number in each line, as logs have times: no two places look the same.
		my $line = $self->{begun} . ($self->{begun} eq '' ? "$key $self->{lines}" : '');
		# At its end, too: the 256 bytes before a place are all that is compared.
		$line .= ' ' . 'x' x int(rand 5000) . " $self->{lines}" if rand() < 0.02;
		syswrite $self->{file}, substr($line, length $self->{begun}) . "\n";
		$self->{want}{ (split / /, $line)[0] }++;
		$self->{lines}++;
		$self->{begun} = '';
	}
	return;
}

sub begin_line {
	my ($self) = @_;
	return if $self->{begun} ne '';
	$self->{begun} = "begun $self->{lines}";
	syswrite $self->{file}, $self->{begun};
	return;
}

sub make_old {
	for my $i (reverse 1 .. 8) {
		rename "f.$i", 'f.' . ($i + 1) if -e "f.$i";
	}
	return;
}

sub rename_file {
	my ($self) = @_;
	make_old();
	rename 'f', 'f.1';
	my $new = main::spew('>>', 'f', '');
	$self->write_some if rand() < 0.5 || $self->{begun} ne '';    # still to the old one
	$self->{file} = $new;
	return;
}

sub copy_file {
	my ($self) = @_;
	$self->write_some if $self->{begun} ne '';
	make_old();
	File::Copy::copy('f', 'f.1');
	truncate 'f', 0;
	return;
}

package main;

sub random_run {
	my ($seed) = @_;
	fresh();
	srand $seed;
	my $writer = Writer->new;
	my @args = (qw(--state s --every 7 f), rand() < 0.5 ? () : (qw(--dump-delay 2)));
	my ($kills, $rotations, $failed) = (0, 0, 0);
	# A tally without a state begins with FILE as it is; from its first dump on it misses nothing.
	$writer->write_some;
	start(@args);
	wait_for('the first dump', sub { ask('USR1'); lines_counted() > 0 });
	for (1 .. 150) {
		my $dice = rand;
		if ($dice < 0.40) { $writer->write_some }
		elsif ($dice < 0.45) { $writer->begin_line }
		elsif ($dice < 0.55) {
			# FILE.9 is as far as tally looks: let it catch up before it is out of sight.
			if (++$rotations % 5 == 0) {
				start(@args) unless $pid;
				my $done = sub { ask('USR1'); lines_counted() == $writer->{lines} };
				wait_for("line $writer->{lines}", $done) or last;
			}
			rand() < 0.5 ? $writer->rename_file : $writer->copy_file;
		}
		elsif (!$pid) { start(@args) }
		elsif ($dice < 0.80) { stop('KILL'); $kills++ }
		elsif ($dice < 0.90) { stop('INT') == 0 or $failed++ }
		else { select undef, undef, undef, rand 0.02 }
	}
	start(@args) unless $pid;
	my $done = sub { ask('USR1'); lines_counted() >= $writer->{lines} };
	wait_for("line $writer->{lines}", $done);
	stop('INT') == 0 or $failed++;
	is($failed, 0, 'exit 0 whenever it was asked to stop');
	my ($counts, $lines, $gaps) = state_of();
	is($lines, $writer->{lines}, "all lines, none twice: $kills kills, $rotations rotations");
	is_deeply([compare($writer->{want}, $counts)], [0, 0], 'lost 0, duplicated 0');
	is_deeply($counts, $writer->{want}, 'under the right keys');
	is($gaps, 0, 'no gap');
	return;
}

subtest 'a real log' => \&real_log;
subtest 'incomplete line' => \&incomplete_line;
subtest 'file comes later' => \&file_comes_later;
subtest 'renamed while it runs' => \&renamed_while_it_runs;
subtest 'renamed while it is down' => \&renamed_while_down;
subtest 'copied and truncated' => \&truncated;
subtest 'lost' => \&lost;
subtest 'a dump fails' => \&dump_fails;
subtest 'dumps when asked' => \&asked_to_dump;
subtest 'slow dump' => \&slow_dump;
subtest 'unusable state' => \&unusable_state;
subtest 'bad usage' => \&bad_usage;
subtest 'messages' => \&notifies;
for my $seed (defined $ENV{SEED} ? $ENV{SEED} : 1 .. 4) {
	subtest "random kills and rotations, SEED=$seed" => sub { random_run($seed) };
}
done_testing();
