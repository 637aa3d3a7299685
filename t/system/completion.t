#!/usr/bin/perl
# What bash offers after "graceful ...", with the completion that is installed.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Graceful::Test qw(slurp source_dir spew);

plan(skip_all => 'no bash here') if system('bash', '-c', 'exit 0') != 0;

my $box = Graceful::Test->new;
our $graceful = $box->graceful;
my $script = $box->script('complete', <<'END');
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_graceful
printf '%s\n' "${COMPREPLY[@]}"
END

# What is offered for the last of the words.
sub offered {
    my (@words) = @_;
    my ($status, $out, $err) = $box->run($script, source_dir() . '/etc/bash-completion/graceful', $graceful, @words);

    is("$status $err", '0 ', "completes @words");
    return join(' ', sort grep { $_ ne '' } split(/\n/, $out));
}

my $help = qx($graceful --help);
my @commands = $help =~ /^  ([a-z-]+) +\S/mg;
cmp_ok(scalar(@commands), '>', 8, 'there are commands');
is(offered(''), join(' ', sort('--help', '--version', @commands)), 'every command');
is(offered('re'), 'reload resume', 'those that begin like this');
is(offered('help', 'hand'), 'handoff', 'help takes a command');
is(offered('stop', '--'), '--config --help --hurry --kill --no-wait --run-dir', 'the options of a command');
for my $command (grep { $_ ne 'help' } @commands) {
    my %options = map { $_ => 1 } qx($graceful $command --help) =~ /^ .*?(--[a-z-]+)/mg;
    is(offered($command, '--'), join(' ', sort keys %options), "every option of $command");
}
is(offered('stop', '--no'), '--no-wait', 'those that begin like this');
is(offered('run', ''), '', 'nothing where nothing goes');
is(offered('nonsense', '--'), '', 'nothing for what is no command');

my $conf = $box->config('web-1', { map { $_ => { command => ['/bin/sleep', '1000'], stop_signal => 'TERM' } } qw(orders other) });
is(offered('check', '-c', $box->path('web-1.j')), $conf, 'a file');
is(offered('check', '--config', '=', $box->path('web-1.j')), $conf, 'in the other form, too');
like(offered('check', '--config', '='), qr{\bgraceful\b}, 'from its first letter on');
is(offered('run', '--ready', ''), 'notify sigstop', 'how the init system may learn of it');
mkdir($box->path('dir'));
is(offered('stop', '--run-dir', $box->path('d')), $box->path('dir'), 'a directory');

is(offered('handoff', '-c', $conf, ''), '', 'no jobs without a master');
my $master = $box->start($conf);
$master->wait_state($_, 'running') for qw(orders other);
is(offered('handoff', '-c', $conf, ''), 'orders other', 'the jobs of the master');
is(offered('checkpoint', '--config', '=', $conf, 'or'), 'orders', 'those that begin like this');
is(offered('history', '-c', $conf, '-n', ''), '', 'no job where a number goes');
is(offered('handoff', '--run-dir', $box->path('run-web-1'), 'ot'), 'other', 'of the one that is meant');
# bash expands the words that it is to choose from; and what wrote the status file may be another user's, for root to complete.
my $trap = $box->path('sprung');
my $name = "x\$(touch\${IFS}$trap)";
# The master would write its own again at any moment.
$master->signal('STOP');
my $status = "$master->{run_dir}/status.json";
spew($status, slurp($status) =~ s/"orders"/"$name"/r);
my ($rc, undef, $why) = $box->run($graceful, 'status', '-c', $conf);
like("$rc $why", qr/^1 .*\Qx$(touch\E.* is no name of a job/s, 'status refuses such a name');
is(offered('handoff', '-c', $conf, ''), '', 'which is not offered');
{
    local $graceful = $box->script('careless', "echo 'JOB  pid 7'\necho '2 jobs: 2 running'\necho 'JOB STATE'\necho 'orders running'\necho '$name running'\n");
    is(offered('handoff', ''), 'orders', 'nor if status does not refuse it');
}
ok(!-e $trap, 'nor run');
$master->signal('CONT');
$master->signal('INT');
$master->wait_exit;

done_testing();
